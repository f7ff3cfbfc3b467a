//! Which resources apply to a workload, and in which order requests meet them.
//!
//! As istiod computes it, not as its documentation says: an unset priority sorts lowest (the
//! documentation says 0), and at equal priority the workload's own namespace comes before the
//! root namespace, then the older resource, then name and namespace.

use super::resource::Resource;
use super::settings::WorkloadType;
use super::spec::Phase;
use super::target::Target;
use super::timestamp::Timestamp;
use super::traffic::Reach;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Who the proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `workload.namespace`.
    pub namespace: String,
    /// `workload.labels`.
    pub labels: BTreeMap<String, String>,
    /// `rootNamespace`.
    pub root_namespace: String,
    /// `workload.type`.
    pub kind: WorkloadType,
    /// `workload.targetRefs`.
    pub targets: Vec<Target>,
}

/// Every resource, either at its place or left out, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrangement<'r> {
    /// Those that apply, in the order of a request.
    pub placed: Vec<Placed<'r>>,
    /// Those that do not apply, in the order given.
    pub left_out: Vec<LeftOut<'r>>,
}

/// A resource in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<'r> {
    /// The resource.
    pub resource: &'r Resource,
    /// Why it comes after the one before it.
    pub because: Because,
}

/// The rule that put a resource behind the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It is the first.
    First,
    /// Its phase comes later.
    Phase,
    /// Its priority is lower.
    Priority,
    /// It stands in the root namespace, the other one in the workload's own.
    RootNamespace,
    /// It was created later.
    Created,
    /// Its name comes later in the alphabet.
    Name,
    /// Its namespace comes later in the alphabet.
    Namespace,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "comes first",
            Self::Phase => "its phase comes later",
            Self::Priority => "its priority is lower",
            Self::RootNamespace => {
                "it is in the root namespace, the one before in the workload's own"
            }
            Self::Created => "it is younger",
            Self::Name => "its name comes later in the alphabet",
            Self::Namespace => "its namespace comes later in the alphabet",
        })
    }
}

/// A resource that does not apply.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut<'r> {
    /// The resource.
    pub resource: &'r Resource,
    /// Why not.
    pub why: Absence,
}

/// Why a resource does not apply to a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It stands neither in the workload's namespace nor in the root namespace.
    Namespace,
    /// The workload lacks a label, or it has another value.
    Label {
        /// The label's name.
        name: String,
        /// The value that the selector wants.
        wanted: String,
        /// The value that the workload has.
        found: Option<String>,
    },
    /// The workload stands for none of its `targetRefs`.
    Target,
    /// No entry of `match` is for traffic of this direction.
    Direction(WorkloadType),
    /// An earlier resource has its name.
    SecondOfName,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace => {
                f.write_str("its namespace is neither the workload's nor the root namespace")
            }
            Self::Label {
                name,
                wanted,
                found: Some(found),
            } => write!(
                f,
                "its selector wants the label {name}={wanted}, the workload has {found}"
            ),
            Self::Label {
                name,
                wanted,
                found: None,
            } => write!(
                f,
                "its selector wants the label {name}={wanted}, the workload has no such"
            ),
            Self::Target => f.write_str("the workload stands for none of its targetRefs"),
            Self::Direction(kind) => {
                write!(
                    f,
                    "no entry of its match is for the traffic of a {}",
                    kind.as_str()
                )
            }
            Self::SecondOfName => f.write_str("another resource of its name comes first"),
        }
    }
}

/// Selects those of `resources` that apply to `workload`, and puts them in order, together with
/// those `added` to a route, for which nothing but the direction of traffic matters.
///
/// Of several resources with one name, the first is meant, but added ones before others.
pub fn arrange<'r>(
    resources: impl IntoIterator<Item = &'r Resource>,
    added: impl IntoIterator<Item = &'r Resource>,
    workload: &Workload,
) -> Arrangement<'r> {
    let mut arrangement = Arrangement::default();
    let mut names = HashSet::new();
    let mut chosen = Vec::new();
    for resource in added {
        names.insert((resource.namespace(), resource.name()));
        match workload.misses(resource) {
            Some(why) => arrangement.left_out.push(LeftOut { resource, why }),
            None => chosen.push(resource),
        }
    }
    for resource in resources {
        let why = if names.insert((resource.namespace(), resource.name())) {
            workload.leaves_out(resource)
        } else {
            Some(Absence::SecondOfName)
        };
        match why {
            Some(why) => arrangement.left_out.push(LeftOut { resource, why }),
            None => chosen.push(resource),
        }
    }
    chosen.sort_by(|a, b| workload.compare(&a.rank(), &b.rank()).0);
    for resource in chosen {
        let because = match arrangement.placed.last() {
            Some(before) => {
                workload
                    .compare(&before.resource.rank(), &resource.rank())
                    .1
            }
            None => Because::First,
        };
        arrangement.placed.push(Placed { resource, because });
    }
    arrangement
}

/// What decides a resource's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank<'a> {
    pub(super) phase: Phase,
    pub(super) priority: Option<i32>,
    pub(super) namespace: &'a str,
    /// A resource without one counts as oldest, as Go's zero time does.
    pub(super) created: Option<Timestamp>,
    pub(super) name: &'a str,
}

impl Workload {
    /// Why `resource` does not apply here, if it does not.
    fn leaves_out(&self, resource: &Resource) -> Option<Absence> {
        let namespace = resource.namespace();
        if resource.targets().is_empty() {
            if namespace != self.namespace && namespace != self.root_namespace {
                return Some(Absence::Namespace);
            }
            for (name, wanted) in resource.selector() {
                let found = self.labels.get(name);
                if found != Some(wanted) {
                    return Some(Absence::Label {
                        name: name.clone(),
                        wanted: wanted.clone(),
                        found: found.cloned(),
                    });
                }
            }
        } else if !resource
            .targets()
            .iter()
            .any(|target| self.is(namespace, target))
        {
            return Some(Absence::Target);
        }
        self.misses(resource)
    }

    /// Why nothing of this workload's traffic is for `resource`, if that is so.
    fn misses(&self, resource: &Resource) -> Option<Absence> {
        match resource.traffic().reach(self.kind) {
            Reach::Nothing => Some(Absence::Direction(self.kind)),
            Reach::Ports(_) | Reach::Everything => None,
        }
    }

    /// Whether this workload stands for `target`, named by a resource of `namespace`.
    fn is(&self, namespace: &str, target: &Target) -> bool {
        let home = if target.is_cluster_wide() {
            &self.root_namespace
        } else {
            &self.namespace
        };
        let labelled = Target::of_labels(&self.labels);
        namespace == home && (self.targets.contains(target) || labelled.as_ref() == Some(target))
    }

    /// Whether `a` comes before `b`, and the rule that tells.
    fn compare(&self, a: &Rank<'_>, b: &Rank<'_>) -> (Ordering, Because) {
        let priority = |rank: &Rank<'_>| Reverse(rank.priority.unwrap_or(i32::MIN));
        let elsewhere = |rank: &Rank<'_>| rank.namespace != self.namespace;
        let rules = [
            (a.phase.cmp(&b.phase), Because::Phase),
            (priority(a).cmp(&priority(b)), Because::Priority),
            (elsewhere(a).cmp(&elsewhere(b)), Because::RootNamespace),
            (a.created.cmp(&b.created), Because::Created),
            (a.name.cmp(b.name), Because::Name),
        ];
        let decisive = rules.into_iter().find(|(order, _)| order.is_ne());
        decisive.unwrap_or_else(|| (a.namespace.cmp(b.namespace), Because::Namespace))
    }
}

#[cfg(test)]
mod tests;

//! Which resources apply to a workload, and in which order requests meet them.
//!
//! As istiod computes it, not as its documentation says: an unset priority sorts lowest (the
//! documentation says 0), and at equal priority the workload's own namespace comes before the
//! root namespace, then the older resource, then name and namespace.

use super::settings::WorkloadType;
use super::spec::Phase;
use super::target::Target;
use super::timestamp::Timestamp;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

/// Who the proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) root_namespace: String,
    pub(super) kind: WorkloadType,
    pub(super) targets: Vec<Target>,
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
    /// Whether a resource of `namespace` with `selector` and `targets` applies here.
    pub(super) fn selects(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
        targets: &[Target],
    ) -> bool {
        if !targets.is_empty() {
            return targets.iter().any(|target| self.is(namespace, target));
        }
        let reaches = namespace == self.namespace || namespace == self.root_namespace;
        let mut wanted = selector.iter();
        reaches && wanted.all(|(name, value)| self.labels.get(name) == Some(value))
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

    /// Whether `a` comes before `b`.
    pub(super) fn compare(&self, a: &Rank<'_>, b: &Rank<'_>) -> Ordering {
        self.key(a).cmp(&self.key(b))
    }

    fn key<'a>(&self, rank: &Rank<'a>) -> impl Ord + use<'a> {
        (
            rank.phase,
            Reverse(rank.priority.unwrap_or(i32::MIN)),
            rank.namespace != self.namespace,
            rank.created,
            rank.name,
            rank.namespace,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::timestamp;

    fn workload() -> Workload {
        Workload {
            namespace: "shop".to_owned(),
            labels: labels(&[("app", "web"), ("tier", "front")]),
            root_namespace: "istio-system".to_owned(),
            kind: WorkloadType::Gateway,
            targets: Vec::new(),
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        pairs.collect()
    }

    #[test]
    fn selection() {
        for (namespace, selector, applies) in [
            ("shop", &[][..], true),
            ("istio-system", &[], true),
            ("other", &[], false),
            ("shop", &[("app", "web")], true),
            ("shop", &[("app", "web"), ("tier", "front")], true),
            ("shop", &[("app", "api")], false),
            ("shop", &[("version", "1")], false),
            ("istio-system", &[("app", "api")], false),
            ("other", &[("app", "web")], false),
        ] {
            let selected = workload().selects(namespace, &labels(selector), &[]);
            assert_eq!(selected, applies, "{namespace} {selector:?}");
        }
    }

    #[test]
    fn order() {
        let (old, new) = ("2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z");
        // Each line comes before the next one.
        let table = [
            (Phase::Authn, None, "shop", None, "z"),
            (Phase::Authz, None, "shop", None, "z"),
            (Phase::Stats, None, "shop", None, "z"),
            (Phase::Unspecified, Some(10), "istio-system", Some(new), "z"),
            (Phase::Unspecified, Some(0), "shop", None, "b"),
            (Phase::Unspecified, Some(0), "istio-system", None, "a"),
            (Phase::Unspecified, Some(-5), "shop", None, "a"),
            // Unset is the lowest there is.
            (Phase::Unspecified, None, "shop", None, "c"),
            (Phase::Unspecified, None, "shop", Some(old), "b"),
            (Phase::Unspecified, None, "shop", Some(new), "a"),
            (Phase::Unspecified, Some(i32::MIN), "shop", Some(new), "d"),
            (Phase::Unspecified, None, "istio-system", Some(old), "a"),
            (Phase::Unspecified, None, "istio-system", Some(old), "a-b"),
        ];
        let ranks = table.map(|(phase, priority, namespace, created, name)| Rank {
            phase,
            priority,
            namespace,
            created: created.and_then(timestamp::parse),
            name,
        });
        for (i, a) in ranks.iter().enumerate() {
            for (j, b) in ranks.iter().enumerate() {
                assert_eq!(workload().compare(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }
}

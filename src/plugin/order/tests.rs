use super::*;
use crate::plugin::ResourceReader;
use Absence::{Direction, SecondOfName};
use Because::{Created, First, Name, Priority, RootNamespace};

const OLD: &str = "2020-01-01T00:00:00Z";
const NEW: &str = "2024-01-01T00:00:00Z";

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

/// Resources of `(metadata, spec)`, each without `name` or `url`.
fn resources(written: &[(&str, &str)]) -> Vec<Resource> {
    let mut text = String::new();
    for (metadata, spec) in written {
        text += &format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{{metadata}}}\nspec: {{url: file:///a.wasm, {spec}}}\n---\n"
        );
    }
    let (resources, problems) = ResourceReader::default().read(&text, "test.yaml", "shop");
    assert_eq!(problems.0, []);
    resources
}

/// Why a resource is left out; none if it applies.
fn left_out(workload: &Workload, metadata: &str, spec: &str) -> Option<Absence> {
    let resources = resources(&[(metadata, spec)]);
    let arrangement = arrange(&resources, [], workload);
    arrangement.left_out.into_iter().next().map(|left| left.why)
}

#[test]
fn selection_by_namespace_and_labels() {
    let label = |name: &str, wanted: &str, found: Option<&str>| {
        Some(Absence::Label {
            name: name.to_owned(),
            wanted: wanted.to_owned(),
            found: found.map(str::to_owned),
        })
    };
    for (namespace, selector, why) in [
        ("shop", "", None),
        ("istio-system", "", None),
        ("other", "", Some(Absence::Namespace)),
        ("shop", "app: web", None),
        ("shop", "app: web, tier: front", None),
        ("shop", "app: api", label("app", "api", Some("web"))),
        ("shop", "version: '1'", label("version", "1", None)),
        ("istio-system", "app: web", None),
        ("istio-system", "app: api", label("app", "api", Some("web"))),
        ("other", "app: web", Some(Absence::Namespace)),
    ] {
        let metadata = format!("name: a, namespace: {namespace}");
        let spec = format!("selector: {{matchLabels: {{{selector}}}}}");
        let found = left_out(&workload(), &metadata, &spec);
        assert_eq!(found, why, "{namespace} {selector:?}");
    }
}

#[test]
fn selection_by_targets() {
    let gateway = "group: gateway.networking.k8s.io, kind: Gateway, name: edge";
    let class = "group: gateway.networking.k8s.io, kind: GatewayClass, name: edge";
    let service = "kind: Service, name: web";
    let target = |group: &str, kind: &str, name: &str| Target {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let api = "gateway.networking.k8s.io";
    let edge = target(api, "Gateway", "edge");
    let absent = Some(Absence::Target);
    for (targets, namespace, references, why) in [
        (vec![edge.clone()], "shop", vec![gateway], None),
        (vec![edge.clone()], "shop", vec![service, gateway], None),
        (vec![edge.clone()], "shop", vec![service], absent.clone()),
        // The root namespace has no say about a gateway of another namespace.
        (vec![edge], "istio-system", vec![gateway], absent.clone()),
        // A workload that stands for nothing has no part in attached resources.
        (vec![], "shop", vec![gateway], absent.clone()),
        (
            vec![target("", "Service", "web")],
            "shop",
            vec![service],
            None,
        ),
        (
            vec![target(api, "GatewayClass", "edge")],
            "istio-system",
            vec![class],
            None,
        ),
        (
            vec![target(api, "GatewayClass", "edge")],
            "shop",
            vec![class],
            absent,
        ),
    ] {
        let workload = Workload {
            targets,
            ..workload()
        };
        let metadata = format!("name: a, namespace: {namespace}");
        let references: Vec<_> = references.iter().map(|r| format!("{{{r}}}")).collect();
        let spec = format!("targetRefs: [{}]", references.join(", "));
        assert_eq!(left_out(&workload, &metadata, &spec), why, "{spec}");
    }
}

#[test]
fn pods_of_the_gateway_api_stand_for_their_gateway() {
    let workload = Workload {
        labels: labels(&[("gateway.networking.k8s.io/gateway-name", "edge")]),
        ..workload()
    };
    let reference = "group: gateway.networking.k8s.io, kind: Gateway, name:";
    let attached = |name: &str| {
        let spec = format!("targetRefs: [{{{reference} {name}}}]");
        left_out(&workload, "name: a", &spec)
    };
    assert_eq!(attached("edge"), None);
    assert_eq!(attached("other"), Some(Absence::Target));
    // A selector is as good as ever.
    assert_eq!(left_out(&workload, "name: a", ""), None);
}

#[test]
fn selection_by_direction() {
    use WorkloadType::{Gateway, SidecarInbound, SidecarOutbound};
    for (entry, kinds) in [
        ("", &[Gateway, SidecarInbound, SidecarOutbound][..]),
        ("mode: CLIENT", &[Gateway, SidecarOutbound]),
        ("mode: SERVER", &[SidecarInbound]),
        ("mode: SERVER, ports: [{number: 80}]", &[SidecarInbound]),
        (
            "mode: CLIENT_AND_SERVER",
            &[Gateway, SidecarInbound, SidecarOutbound],
        ),
        (
            "ports: [{number: 80}]",
            &[Gateway, SidecarInbound, SidecarOutbound],
        ),
    ] {
        for kind in [Gateway, SidecarInbound, SidecarOutbound] {
            let workload = Workload { kind, ..workload() };
            let why = (!kinds.contains(&kind)).then_some(Direction(kind));
            let spec = format!("match: [{{{entry}}}]");
            assert_eq!(
                left_out(&workload, "name: a", &spec),
                why,
                "{entry} {kind:?}"
            );
        }
    }
}

#[test]
fn order_and_the_rule_of_each_place() {
    // Each line comes behind the one before it, because of the rule at its end.
    let table = [
        ("shop", None, "z", "AUTHN", None, First),
        ("shop", None, "z1", "AUTHZ", None, Because::Phase),
        ("shop", None, "z2", "STATS", None, Because::Phase),
        (
            "istio-system",
            Some(NEW),
            "z3",
            "UNSPECIFIED_PHASE",
            Some(10),
            Because::Phase,
        ),
        ("shop", None, "b", "UNSPECIFIED_PHASE", Some(0), Priority),
        (
            "istio-system",
            None,
            "a",
            "UNSPECIFIED_PHASE",
            Some(0),
            RootNamespace,
        ),
        ("shop", None, "a1", "UNSPECIFIED_PHASE", Some(-5), Priority),
        // Unset is the lowest there is, not 0.
        ("shop", None, "c", "UNSPECIFIED_PHASE", None, Priority),
        ("shop", Some(OLD), "b1", "UNSPECIFIED_PHASE", None, Created),
        ("shop", Some(NEW), "a2", "UNSPECIFIED_PHASE", None, Created),
        (
            "shop",
            Some(NEW),
            "d",
            "UNSPECIFIED_PHASE",
            Some(i32::MIN),
            Name,
        ),
        (
            "istio-system",
            Some(OLD),
            "a3",
            "UNSPECIFIED_PHASE",
            None,
            RootNamespace,
        ),
        (
            "istio-system",
            Some(OLD),
            "a3-b",
            "UNSPECIFIED_PHASE",
            None,
            Name,
        ),
    ];
    let mut written = Vec::new();
    for (namespace, created, name, phase, priority, _) in table {
        let created = created.map(|time| format!(", creationTimestamp: '{time}'"));
        let priority = priority.map(|priority| format!(", priority: {priority}"));
        written.push((
            format!(
                "name: {name}, namespace: {namespace}{}",
                created.unwrap_or_default()
            ),
            format!("phase: {phase}{}", priority.unwrap_or_default()),
        ));
    }
    // Whatever the order in which they are found.
    for turn in 0..written.len() {
        written.rotate_left(turn);
        let texts: Vec<_> = written
            .iter()
            .map(|(metadata, spec)| (metadata.as_str(), spec.as_str()))
            .collect();
        let resources = resources(&texts);
        let arrangement = arrange(&resources, [], &workload());
        let placed: Vec<_> = arrangement
            .placed
            .iter()
            .map(|placed| (placed.resource.name(), placed.because))
            .collect();
        assert_eq!(
            placed,
            table.map(|(_, _, name, _, _, because)| (name, because))
        );
    }
}

#[test]
fn equal_names_in_two_namespaces_tie_to_the_namespace() {
    let root_is_own = Workload {
        root_namespace: "shop".to_owned(),
        ..workload()
    };
    let written = resources(&[("name: a, namespace: shop", "")]);
    assert_eq!(arrange(&written, [], &root_is_own).placed.len(), 1);
    let rank = |namespace| Rank {
        phase: Phase::Authn,
        priority: None,
        namespace,
        created: None,
        name: "a",
    };
    let told = workload().compare(&rank("a"), &rank("b"));
    assert_eq!(told, (Ordering::Less, Because::Namespace));
}

#[test]
fn the_first_of_a_name_is_meant() {
    let one = resources(&[("name: a", "priority: 1")]);
    let two = resources(&[("name: a", "priority: 2"), ("name: b", "")]);
    let arrangement = arrange(one.iter().chain(&two), [], &workload());
    let placed: Vec<_> = arrangement.placed.iter().map(|p| p.resource).collect();
    assert_eq!(placed, [&one[0], &two[1]]);
    assert_eq!(
        arrangement.left_out,
        [LeftOut {
            resource: &two[0],
            why: SecondOfName
        }]
    );
}

#[test]
fn what_a_route_adds_is_placed_by_the_same_rules() {
    let own = resources(&[("name: a", "priority: 2"), ("name: b", "priority: 1")]);
    // Neither namespace nor selector matter, and it comes before one of its name.
    let added = resources(&[
        (
            "name: c, namespace: other",
            "priority: 2, selector: {matchLabels: {app: api}}",
        ),
        ("name: b", "priority: 3"),
        ("name: d", "match: [{mode: SERVER}]"),
    ]);
    let arrangement = arrange(&own, &added, &workload());
    let placed: Vec<_> = arrangement.placed.iter().map(|p| p.resource).collect();
    assert_eq!(placed, [&added[1], &own[0], &added[0]]);
    let left: Vec<_> = arrangement.left_out.iter().map(|l| &l.why).collect();
    assert_eq!(left, [&Direction(WorkloadType::Gateway), &SecondOfName]);
}

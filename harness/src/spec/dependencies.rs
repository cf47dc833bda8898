//! Who needs whom to be mended: a circle means that what is broken is needed to mend it.

use std::collections::BTreeMap;

use kv_node::safeguards::Safeguard;

use super::Spec;

/// The components that need each other to be mended, each with those that it needs. Who takes back a release logs in first,
/// unless the release tool's build takes that from anybody.
fn needs(spec: &Spec) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut needs = BTreeMap::from([("kv", vec!["release tool"])]);
    if let Some(products) = &spec.topology.products {
        if products.login.is_some() && !spec.build.has(Safeguard::RollbackWithoutLogin) {
            needs.insert("release tool", vec!["access"]);
        }
        needs.insert("access", vec!["kv"]);
    }
    needs
}

/// Every circle, beginning with its first component by name.
pub fn circles(spec: &Spec) -> Vec<Vec<&'static str>> {
    let needs = needs(spec);
    let mut circles = Vec::new();
    for start in needs.keys() {
        follow(&needs, &mut vec![*start], &mut circles);
    }
    circles
}

fn follow(
    needs: &BTreeMap<&'static str, Vec<&'static str>>,
    path: &mut Vec<&'static str>,
    circles: &mut Vec<Vec<&'static str>>,
) {
    let Some(last) = path.last() else { return };
    for next in needs.get(last).into_iter().flatten() {
        if *next == path[0] {
            let mut circle = path.clone();
            circle.push(*next);
            circles.push(circle);
        // A circle is told once, from its first component.
        } else if *next > path[0] && !path.contains(next) {
            path.push(*next);
            follow(needs, path, circles);
            path.pop();
        }
    }
}

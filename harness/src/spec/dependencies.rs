//! Who needs whom to be mended: a circle means that what is broken is needed to mend it.

use std::collections::BTreeMap;

use super::topology::Topology;

/// The components of a topology that need each other, each with those that it needs.
fn needs(topology: &Topology) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut needs = BTreeMap::from([("kv", vec!["release tool"])]);
    if let Some(products) = &topology.products {
        if products.login.is_some() {
            needs.insert("release tool", vec!["access"]);
        }
        needs.insert("access", vec!["kv"]);
    }
    needs
}

/// Every circle, beginning with its first component by name.
pub fn circles(topology: &Topology) -> Vec<Vec<&'static str>> {
    let needs = needs(topology);
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

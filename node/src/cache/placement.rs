//! Who owns a key: weighted rendezvous hashing over the tiers of a region.
//!
//! Every node computes the same owner from the same snapshot. Only a member's id is hashed, so taking one out moves only its
//! keys, spread by weight, and bringing it back moves exactly those back.

use std::collections::BTreeMap;
use std::fmt;

use rapidhash::v3::rapidhash_v3;

use crate::config::{Member, Members, Snapshot};
use crate::ids::{Dc, Name, Region};

/// The tiers of one region, by id.
#[derive(Default)]
struct Tiers(Vec<Candidate>);

struct Candidate {
    dc: Dc,
    hash: u64,
    weight: f64,
}

impl Candidate {
    /// How much this candidate wants a key: the highest one owns it (Schindelhauer and Schomaker, 2005). No two nodes may
    /// disagree on it, so the logarithm is not the platform's.
    fn score(&self, key_hash: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a place in the unit interval")]
        let place = mix(self.hash ^ key_hash) as f64 / u64::MAX as f64;
        self.weight / -libm::log(place)
    }
}

/// The finalizer of `MurmurHash3`: every bit of the input changes half of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// A hash of texts, each with an end that no text contains; the same on every platform and in every release.
fn hash(texts: &[&str]) -> u64 {
    let mut bytes = Vec::with_capacity(64);
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0xff);
    }
    rapidhash_v3(&bytes)
}

impl Tiers {
    /// The tiers in the order in which they own a key. The first costs one look at each, and so does every further one:
    /// hardly anyone asks for the second.
    fn in_order(&self, name: &Name) -> impl Iterator<Item = &Dc> {
        let key_hash = hash(&[name.namespace.as_str(), &name.key]);
        let mut before: Option<(f64, &Dc)> = None;
        std::iter::from_fn(move || {
            let scored = self.0.iter().map(|tier| (tier.score(key_hash), &tier.dc));
            let left =
                scored.filter(|tier| before.is_none_or(|before| order(tier, &before).is_lt()));
            before = left.max_by(order);
            before.map(|(_, dc)| dc)
        })
    }
}

/// By score, and by id where scores are equal.
fn order(a: &(f64, &Dc), b: &(f64, &Dc)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1))
}

/// The owners of all keys under one snapshot.
pub struct Placement {
    regional: BTreeMap<Region, Tiers>,
    upper: BTreeMap<Region, Tiers>,
    origins: BTreeMap<Region, Region>,
}

impl Placement {
    /// Works out who may own keys, from the members' weights and the snapshot's statuses.
    pub fn new(members: &Members, snapshot: &Snapshot) -> Self {
        let tiers = |weight: fn(&Member) -> u32| {
            let mut regions: BTreeMap<Region, Tiers> = BTreeMap::new();
            for (dc, member) in &members.dcs {
                if weight(member) > 0 && snapshot.status(dc).owns_keys() {
                    regions.entry(member.region.clone()).or_default().0.push(Candidate {
                        dc: dc.clone(),
                        hash: hash(&[dc.as_str()]),
                        weight: f64::from(weight(member)),
                    });
                }
            }
            regions
        };
        Self {
            regional: tiers(|member| member.regional_weight),
            upper: tiers(|member| member.upper_weight),
            origins: members.origins.clone(),
        }
    }

    /// The regional tiers of a region for a key, the owner first. Empty where the region has none in service.
    pub fn regional<'a>(&'a self, region: &Region, name: &'a Name) -> impl Iterator<Item = &'a Dc> {
        self.regional.get(region).into_iter().flat_map(|tiers| tiers.in_order(name))
    }

    /// The upper tiers of an origin region for a key, the owner first.
    pub fn upper<'a>(&'a self, origin: &Region, name: &'a Name) -> impl Iterator<Item = &'a Dc> {
        self.upper.get(origin).into_iter().flat_map(|tiers| tiers.in_order(name))
    }

    /// The origin region whose upper tiers a region goes to: its affinity.
    pub fn origin<'a>(&'a self, region: &'a Region) -> &'a Region {
        self.origins.get(region).unwrap_or(region)
    }

    /// Everyone who may hold a key as its owner: what a purge must reach. Fixed by the topology, whatever the number of
    /// edges; each data center once, in a defined order.
    pub fn holders<'a>(&'a self, name: &'a Name) -> Vec<&'a Dc> {
        let mut holders: Vec<&Dc> = Vec::with_capacity(self.regional.len() + self.upper.len());
        for tiers in self.regional.values().chain(self.upper.values()) {
            if let Some(owner) = tiers.in_order(name).next()
                && !holders.contains(&owner)
            {
                holders.push(owner);
            }
        }
        holders
    }

    /// Whether a data center holds a key in one of its roles.
    pub fn holds(&self, dc: &Dc, region: &Region, name: &Name) -> bool {
        self.regional(region, name).next() == Some(dc)
            || self.upper(region, name).next() == Some(dc)
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placement")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DcState, DcStatus};

    fn members() -> Members {
        let dcs = [("MEL01", 1500), ("SYD", 1000), ("AKL", 1000), ("PER", 1000), ("CBR", 0)];
        Members {
            dcs: dcs
                .into_iter()
                .map(|(dc, weight)| {
                    let member = Member {
                        region: Region::from("OC"),
                        regional_weight: weight,
                        upper_weight: 0,
                    };
                    (Dc::from(dc), member)
                })
                .collect(),
            origins: BTreeMap::new(),
            store_hosts: None,
        }
    }

    fn placement(out: &[&str]) -> Placement {
        let snapshot = Snapshot {
            revision: 1,
            new_backend: true,
            dcs: out
                .iter()
                .map(|dc| {
                    let status = DcStatus { state: DcState::Maintenance, ..DcStatus::default() };
                    (Dc::from(*dc), status)
                })
                .collect(),
            ..Snapshot::default()
        };
        Placement::new(&members(), &snapshot)
    }

    fn owner(placement: &Placement, key: &str) -> Dc {
        let name = Name::new("ns".into(), key);
        placement.regional(&Region::from("OC"), &name).next().cloned().unwrap()
    }

    const KEYS: u32 = 60_000;

    /// How many of all keys each data center owns.
    fn load(placement: &Placement) -> BTreeMap<Dc, f64> {
        let mut load = BTreeMap::new();
        for key in 0..KEYS {
            *load.entry(owner(placement, &key.to_string())).or_default() += 1.0;
        }
        load
    }

    /// The weights of those that own keys, and their sum.
    fn weights() -> (Vec<(Dc, f64)>, f64) {
        let dcs = members().dcs.into_iter().filter(|(_, member)| member.regional_weight > 0);
        let weights: Vec<_> =
            dcs.map(|(dc, member)| (dc, f64::from(member.regional_weight))).collect();
        let sum = weights.iter().map(|(_, weight)| weight).sum();
        (weights, sum)
    }

    #[test]
    fn load_follows_weight() {
        let load = load(&placement(&[]));
        let (weights, sum) = weights();
        assert_eq!(load.len(), weights.len());
        let mut chi_squared = 0.0;
        for (dc, weight) in weights {
            let share = weight / sum;
            let expected = share * f64::from(KEYS);
            assert!((load[&dc] / f64::from(KEYS) - share).abs() <= 0.02, "{dc}: {}", load[&dc]);
            chi_squared += (load[&dc] - expected).powi(2) / expected;
        }
        // The critical value for three degrees of freedom that chance exceeds once in a thousand times.
        assert!(chi_squared < 16.266, "{chi_squared}");
    }

    #[test]
    fn an_outage_moves_only_the_keys_of_the_owner_that_is_gone() {
        let (before, during) = (placement(&[]), placement(&["MEL01"]));
        let (weights, sum) = weights();
        let mut moved: BTreeMap<Dc, f64> = BTreeMap::new();
        for key in 0..KEYS {
            let key = key.to_string();
            let (was, is) = (owner(&before, &key), owner(&during, &key));
            if was.as_str() == "MEL01" {
                *moved.entry(is).or_default() += 1.0;
            } else {
                assert_eq!(is, was);
            }
        }
        // They go to those that are left, by weight.
        let all: f64 = moved.values().sum();
        let (left, gone): (Vec<_>, Vec<_>) =
            weights.into_iter().partition(|(dc, _)| dc.as_str() != "MEL01");
        assert_eq!(moved.len(), left.len(), "{moved:?}");
        for (dc, weight) in left {
            let share = weight / (sum - gone[0].1);
            assert!((moved[&dc] / all - share).abs() <= 0.02, "{dc}: {} of {all}", moved[&dc]);
        }
        // Its return moves exactly those back.
        let after = placement(&[]);
        let back = |key: u32| owner(&after, &key.to_string()) == owner(&before, &key.to_string());
        assert!((0..KEYS).all(back));
    }

    #[test]
    fn more_edges_change_no_purge() {
        let with_edges = |count: usize| {
            let mut members = members();
            for number in 0..count {
                let region = Region::from(if number % 2 == 0 { "OC" } else { "EU" });
                let edge = Member { region, regional_weight: 0, upper_weight: 0 };
                members.dcs.insert(Dc::from(format!("EDGE{number}")), edge);
            }
            let snapshot = Snapshot { revision: 1, new_backend: true, ..Snapshot::default() };
            Placement::new(&members, &snapshot)
        };
        let (few, many) = (with_edges(10), with_edges(100));
        for key in 0..1_000 {
            let name = Name::new("ns".into(), &key.to_string());
            assert_eq!(few.holders(&name), many.holders(&name));
            assert_eq!(few.holders(&name).len(), 1, "one region has tiers");
        }
    }

    #[test]
    fn a_data_center_without_weight_owns_nothing_and_a_region_without_tiers_has_no_owner() {
        let placement = placement(&[]);
        assert!((0..5_000).all(|key| owner(&placement, &key.to_string()).as_str() != "CBR"));
        let name = Name::new("ns".into(), "k");
        assert_eq!(placement.regional(&Region::from("EU"), &name).next(), None);
    }
}

//! What a request costs does not depend on how many data centers there are.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_node::ids::Dc;
use nix::sys::resource::{UsageWho, getrusage};
use relapse::lab::{drive, sim};
use relapse::spec::Spec;

use crate::repo::scenarios;

/// The topology of July with every data center there several times, and as many requests for each as before.
fn wider(spec: &Spec, dcs: usize) -> Spec {
    let mut wide = spec.clone();
    let before = spec.topology.dcs.len();
    let mut more = BTreeMap::new();
    for number in 0..dcs {
        let (dc, about) = spec.topology.dcs.iter().nth(number % before).unwrap();
        let name = match number / before {
            0 => dc.clone(),
            turn => Dc::from(format!("{dc}-{turn}")),
        };
        more.insert(name, about.clone());
    }
    wide.topology.dcs = more;
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let factor = dcs as f64 / before as f64;
    wide.topology.traffic.requests_per_s *= factor;
    wide.end = wide.start.after(wide.end.since(wide.start).div_f64(factor));
    wide
}

/// Microseconds of this thread's CPU a request.
fn cost(spec: &Spec) -> f64 {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let us = |time: nix::sys::time::TimeVal| {
            Duration::new(time.tv_sec().try_into().unwrap(), 0).as_secs_f64() * 1e6
                + f64::from(i32::try_from(time.tv_usec()).unwrap())
        };
        us(usage.user_time()) + us(usage.system_time())
    };
    let mut requests = 0;
    let before = cpu();
    drive(sim::lab(1), spec, |progress| requests = progress.requests).unwrap();
    (cpu() - before) / f64::from(u32::try_from(requests).unwrap())
}

#[test]
fn three_hundred_data_centers_cost_at_most_half_as_much_again_a_request() {
    let mut spec = scenarios("control-plain-day").remove(0).spec;
    spec.topology.traffic.requests_per_s = 50.0;
    // Long enough that what is done once for each data center, its series among it, does not count.
    spec.end = spec.start.after(Duration::from_hours(3));
    let narrow = wider(&spec, spec.topology.dcs.len());
    let wide = wider(&spec, 300);
    assert_eq!(wide.topology.dcs.len(), 300);
    assert!(narrow.topology.dcs.len() >= 32);
    // In turn, so that a machine that slows down slows both.
    let mut ratios: Vec<f64> = (0..3)
        .map(|_| {
            let narrow = cost(&narrow);
            cost(&wide) / narrow
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[1] <= 1.5, "300 data centers cost {ratios:.2?} times as much a request");
}

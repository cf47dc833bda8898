//! Random series, and the states that `promtool test rules` 2.42 gave their alerts, minute by minute.

use super::{MINUTE, Server};
use crate::rules::{AlertSettings, Alerts, RuleFile, State};
use crate::{Database, Dialect, Labels, Settings};

/// Minutes of `for` and of `keep_firing_for`; then, for two data centers, the values of a series (`_` no sample, `s` its end), and
/// the states of the alerts A and B (`.` none, `p` pending, `f` firing).
type Case = (i64, i64, [[&'static str; 3]; 2]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    (3, 1, [
        ["120000000__02220000002_1111100000___0000", "pp..........ppp......pppfffff...........", "........................pffff..........."],
        ["112____00000_1___22222222222222110000011", "pppfffff.....pppffffffffffffffffff....pp", "...pffff........pfffffffffffffffff......"],
    ]),
    (1, 0, [
        ["111110___111112s_____11ss______0111s00ss", "pffff....pfffff......pf.........pff.....", ".pfff.....pffff.......p..........pf....."],
        ["sss111ss0001_211122221112222212222211111", "...pff.....pffffffffffffffffffffffffffff", "....pf......pfffffffffffffffffffffffffff"],
    ]),
    (2, 0, [
        ["1s000_1102222211111__11111_2222222222200", "p.....pp.ppfffffffffffffffffffffffffff..", "...........pffffffffffffffffffffffffff.."],
        ["sss00200_0__111110111112ss11111111022222", ".....p......ppfff.ppffff..ppffffff.ppfff", "..............pff...pfff....pfffff...pff"],
    ]),
    (0, 2, [
        ["ssss2_111111sssss000001ss__1111111_____1", "....ffffffffff........fff..fffffffffffff", "....pfffffffff........pff..pffffffffffff"],
        ["_111s1111122s002211111111ss1111111111___", ".fffffffffffff.fffffffffffffffffffffffff", ".pffffffffffff.pffffffffffffffffffffffff"],
    ]),
    (0, 4, [
        ["1s2222000222ss10___s_____2211111_0s_2111", "fffffffffffffffffff......fffffffffffffff", "pffffffffffffffffff......pffffffffffffff"],
        ["1111111___1ss22222__________000111110122", "fffffffffffffffffffffffffff....fffffffff", "pffffffffffffffffffffffffff....pffffffff"],
    ]),
    (1, 7, [
        ["sssss_____2_110000022222022__________112", "..........pfffffffffffffffffffffffffffff", "...........pffffffffffffffffffffffffffff"],
        ["____sssss111111111110002202110ss11111122", ".........pffffffffffffffffffffffffffffff", "..........pfffffffffffffffffffffffffffff"],
    ]),
    (0, 0, [
        ["ss_111_1100000000____111000sss_____s1112", "...ffffff............fff............ffff", "...pfffff............pff............pfff"],
        ["00ss20sss___ss00011110011__11100222_1111", "....f............ffff..fffffff..ffffffff", "....p............pfff..pffffff..pfffffff"],
    ]),
    (1, 2, [
        ["02222200000100000_sssss22sss11ssssss0000", ".pffffff...p...........pfff.pfff........", "..pfffff................pff..pff........"],
        ["ssssssss11111_____00000s00ss000222220sss", "........pfffffffffff...........pffffff..", ".........pffffffffff............pfffff.."],
    ]),
    (3, 0, [
        ["2sssss_sssss00011s111222000ss00000s00000", "p..............pp.pppfff................", ".....................pff................"],
        ["1111_____1222sssss1111111122200000110000", "pppffffffffff.....pppffffffff.....pp....", "...pfffffffff........pfffffff..........."],
    ]),
    (1, 4, [
        ["2000002_221110sss11___111110001110000000", "p.....pffffffffffffffffffffffffffffff...", ".......pfffffffffffffffffffffffffffff..."],
        ["1s__111111100ss1100000s0000sss222221111s", "p...pffffffffffffffff.........pfffffffff", ".....pfffffffffffffff..........pffffffff"],
    ]),
    (5, 0, [
        ["111111110000011112s22222__11101111100002", "pppppfff.....ppppp.pppppfffff.ppppp....p", ".....pff................pffff..........."],
        ["111122222sssssss111111111111111111_12211", "pppppffff.......pppppfffffffffffffffffff", ".....pfff............pffffffffffffffffff"],
    ]),
    (2, 7, [
        ["000000011111011111_00_22222100000sssss10", ".......ppffffffffffffffffffffffffff...p.", ".........pfffffffffffffffffffffffff....."],
        ["101_002211111112222222222221111102222ss2", "p.pp..ppffffffffffffffffffffffffffffffff", "........pfffffffffffffffffffffffffffffff"],
    ]),
];

/// B looks at A, so it begins when A fires.
fn server(for_minutes: i64, keep_minutes: i64) -> Server {
    let rules = format!(
        r#"
groups:
  - name: g
    rules:
      - {{record: r, expr: sum by (dc) (errors) > 0}}
      - {{alert: A, expr: r > 0, for: {for_minutes}m, keep_firing_for: {keep_minutes}m}}
      - {{alert: B, expr: 'max by (dc) (ALERTS{{alertname="A", alertstate="firing"}})', for: 1m}}
"#
    );
    let settings = AlertSettings {
        query: Settings { dialect: Dialect::V2, ..Settings::default() },
        interval_ms: MINUTE,
        phase_ms: 0,
        external_labels: Labels::empty(),
        external_url: String::new(),
    };
    let files = vec![RuleFile::parse("rules.yml", &rules).unwrap()];
    Server { alerts: Alerts::new(files, settings), database: Database::new(), now: 0 }
}

#[test]
fn states_are_those_of_promtool() {
    for (for_minutes, keep_minutes, centers) in CASES {
        let mut server = server(*for_minutes, *keep_minutes);
        let mut states = [const { [const { String::new() }; 2] }; 2];
        for minute in 0..centers[0][0].len() {
            let value = |center: usize| match &centers[center][0][minute..=minute] {
                "s" => "stale",
                value => value,
            };
            let fra1: &[(&str, &str)] = &[("__name__", "errors"), ("dc", "fra1")];
            let ams1: &[(&str, &str)] = &[("__name__", "errors"), ("dc", "ams1")];
            server.run(&[(fra1, value(0)), (ams1, value(1))]);
            for (center, dc) in ["fra1", "ams1"].iter().enumerate() {
                for (number, name) in ["A", "B"].iter().enumerate() {
                    let mut active = server.alerts.active();
                    let alert = active
                        .find(|alert| &*alert.alert == *name && alert.labels.get("dc") == Some(dc));
                    states[center][number].push(match alert.map(|alert| alert.state) {
                        None | Some(State::Inactive) => '.',
                        Some(State::Pending) => 'p',
                        Some(State::Firing) => 'f',
                    });
                }
            }
        }
        for (center, [_, a, b]) in centers.iter().enumerate() {
            assert_eq!(
                states[center],
                [*a, *b],
                "for {for_minutes}, keep {keep_minutes}, {center}"
            );
        }
    }
}

//! Fields of a date, in UTC.

use crate::query::Function;

/// A time as seconds since 1970, with the date that it falls on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    seconds: i64,
    days: i64,
    year: i64,
    month: i64,
    day: i64,
}

const DAY_S: i64 = 86_400;

/// The field that a function returns, if it is one of those.
pub(super) fn of(function: Function) -> Option<fn(Moment) -> i64> {
    Some(match function {
        Function::Minute => |moment| moment.seconds.rem_euclid(3_600) / 60,
        Function::Hour => |moment| moment.seconds.rem_euclid(DAY_S) / 3_600,
        Function::DayOfMonth => |moment| moment.day,
        // The first of January 1970 was a Thursday.
        Function::DayOfWeek => |moment| (moment.days + 4).rem_euclid(7),
        Function::DayOfYear => |moment| moment.days - days_before(moment.year, 1) + 1,
        Function::DaysInMonth => |moment| {
            let next = if moment.month == 12 {
                (moment.year + 1, 1)
            } else {
                (moment.year, moment.month + 1)
            };
            days_before(next.0, next.1) - days_before(moment.year, moment.month)
        },
        Function::Month => |moment| moment.month,
        Function::Year => |moment| moment.year,
        _ => return None,
    })
}

/// A field of a time given as seconds, of which the fraction is dropped.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "dropping the fraction is meant"
)]
pub(super) fn of_seconds(seconds: f64, field: fn(Moment) -> i64) -> f64 {
    // Farther away than any calendar goes; the sums below must not overflow.
    let seconds = (seconds as i64).clamp(-1 << 55, 1 << 55);
    let days = seconds.div_euclid(DAY_S);
    let (year, month, day) = date(days);
    field(Moment { seconds, days, year, month, day }) as f64
}

/// Year, month and day of a day since 1970. Years begin in March here, so that a leap day is a year's last.
/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970 to the first of a month; the reverse of [`date`].
fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted_month + 2) / 5;
    era * 146_097 + day_of_era - 719_468
}

//! Which literals are looked for together: every sweep costs a pass over the text, and its shortest literal says how dense.

use super::Sample;
use super::few::Few;
use super::sweep::rarest;

/// Length classes, longest first: the shortest literal of each, the width of its grams and the stride that it allows.
const CLASSES: [(usize, usize, usize); 6] =
    [(11, 4, 8), (7, 4, 4), (5, 4, 2), (4, 4, 1), (3, 3, 1), (super::SHORTEST, 0, 1)];
/// The class that has no gram: its literals are always looked for one by one.
const BARE: usize = CLASSES.len() - 1;
/// Picoseconds for each byte of text, as measured: of a sweep that looks at every place, of a single literal's search.
const DENSE: u64 = 1_000;
const SINGLE: u64 = 40;
/// Picoseconds to look at a place that the bitmap let through.
const CHECK: u64 = 8_000;
/// More literals than this are never looked for one by one.
const ONE_BY_ONE: usize = 12;
/// The same for a search of a few dozen at once: of it, and to look closely at a place.
const FEW: u64 = 100;
const DOUBT: u64 = 5_000;
/// A literal of which a part is met in one of so many bytes is met often.
const OFTEN: u64 = 50_000;
/// More literals than this are never looked for so.
const DOZENS: usize = 64;
/// How many of those that are met often are tried: more than the first number, up to the second.
const OFTENS: [(usize, usize); 3] = [(0, 0), (0, DOZENS / 4), (DOZENS / 4, DOZENS * 3 / 4)];

/// Literals, by their numbers, that are looked for in one pass.
pub(super) struct Sweep {
    pub(super) literals: Vec<usize>,
    pub(super) width: usize,
    pub(super) stride: usize,
}

/// How all literals are looked for.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) sweeps: Vec<Sweep>,
    /// Those that are looked for one by one.
    pub(super) single: Vec<usize>,
    /// Those that are looked for a few dozen at once, if there are any.
    pub(super) few: Option<Box<Few>>,
    /// What it is likely to cost for each byte of text, in picoseconds.
    pub(super) cost: u64,
}

/// What becomes of a class.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Own,
    Joined,
    Single,
}

/// Literals by their numbers, in classes.
type Classes = [Vec<usize>; CLASSES.len()];
/// By class and by the class with whose stride it is swept.
type Checks = [[u64; CLASSES.len()]; CLASSES.len()];

/// The plan that is likely to cost least.
pub(super) fn plan(literals: &[Vec<u8>], sample: &Sample) -> Plan {
    let mut classes = Classes::default();
    for (number, literal) in literals.iter().enumerate() {
        if let Some(class) = CLASSES.iter().position(|(shortest, ..)| literal.len() >= *shortest) {
            classes[class].push(number);
        }
    }
    // By literal and by the class with whose stride it is swept: how often a place passes the bitmap.
    let count = |literal: &Vec<u8>| {
        let count = |(shortest, width, stride): (usize, usize, usize)| {
            let swept = width == 4 && literal.len() >= shortest;
            if swept {
                rarest(literal, width, stride, |gram| u64::from(sample.count(gram))).1 / stride as u64
            } else {
                0
            }
        };
        CLASSES.map(count)
    };
    let counts: Vec<_> = literals.iter().map(count).collect();
    let places = sample.text.len() as u64 + 1;
    // The shorter ones, and those that are met in part too often, may be looked for a few dozen at once.
    let with_few = |(shorter, fewer, most): (usize, usize, usize)| {
        let mut often: Vec<(u64, usize)> = Vec::new();
        for (class, members) in classes[..shorter].iter().enumerate() {
            often.extend(members.iter().map(|number| (counts[*number][class], *number)));
        }
        often.retain(|(count, _)| count * OFTEN > places);
        // What is the same as with fewer was looked at already.
        if most > 0 && often.len() <= fewer {
            return None;
        }
        often.sort_unstable_by(|one, other| other.cmp(one));
        let often: Vec<usize> = often.into_iter().take(most).map(|(_, number)| number).collect();
        let chosen = [classes[shorter..].concat(), often.clone()].concat();
        if chosen.is_empty() || chosen.len() > DOZENS {
            return None;
        }
        let few = Few::new(literals, &chosen, sample);
        let (doubts, places) = few.doubts(sample);
        let mut rest = Classes::default();
        for (rest, members) in rest.iter_mut().zip(&classes[..shorter]) {
            rest.extend(members.iter().copied().filter(|number| !often.contains(number)));
        }
        let plan = swept(&rest, &counts, sample);
        let cost = plan.cost + FEW + doubts as u64 * DOUBT / (places as u64 + 1);
        Some(Plan { cost, few: Some(Box::new(few)), ..plan })
    };
    let some = (0..=CLASSES.len()).flat_map(|shorter| OFTENS.map(|(fewer, most)| (shorter, fewer, most)));
    let all = some.filter_map(with_few).chain([swept(&classes, &counts, sample)]);
    all.min_by_key(|plan| plan.cost).unwrap_or_default()
}

/// The plan that is likely to cost least of those that look for nothing a few dozen at once.
fn swept(classes: &Classes, counts: &[[u64; CLASSES.len()]], sample: &Sample) -> Plan {
    let mut checks: Checks = [[0; CLASSES.len()]; CLASSES.len()];
    for (checks, members) in checks.iter_mut().zip(classes) {
        for (under, checks) in checks.iter_mut().enumerate() {
            let all: u64 = members.iter().map(|number| counts[*number][under]).sum();
            *checks = all * CHECK / (sample.text.len() as u64 + 1);
        }
    }
    let mut all: Vec<Vec<Way>> = vec![Vec::new()];
    for (class, members) in classes.iter().enumerate() {
        let ways: &[Way] = match members.len() {
            0 => &[Way::Own],
            _ if class == BARE => &[Way::Single],
            members if members > ONE_BY_ONE => &[Way::Own, Way::Joined],
            _ => &[Way::Own, Way::Joined, Way::Single],
        };
        let with = |before: Vec<Way>| ways.iter().map(move |way| [&before[..], &[*way]].concat());
        all = all.into_iter().flat_map(with).collect();
    }
    let best = all.into_iter().min_by_key(|ways| cost(classes, &checks, ways)).unwrap_or_default();
    Plan { cost: cost(classes, &checks, &best), ..made(classes, &best) }
}

/// What a plan costs for each byte; `u64::MAX` if it is none.
fn cost(classes: &Classes, checks: &Checks, ways: &[Way]) -> u64 {
    let mut all = 0;
    // The classes of the sweep that others may join.
    let mut open: Vec<usize> = Vec::new();
    let swept = |open: &[usize]| -> u64 {
        let Some(last) = open.last() else { return 0 };
        DENSE / CLASSES[*last].2 as u64 + open.iter().map(|class| checks[*class][*last]).sum::<u64>()
    };
    for (class, members) in classes.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        match ways[class] {
            Way::Single => all += SINGLE * members.len() as u64,
            Way::Own => {
                all += swept(&open);
                open = vec![class];
            }
            // Grams of another width are of another sweep.
            Way::Joined if open.is_empty() || CLASSES[class].1 != CLASSES[open[0]].1 => return u64::MAX,
            Way::Joined => open.push(class),
        }
    }
    all + swept(&open)
}

fn made(classes: &Classes, ways: &[Way]) -> Plan {
    let mut plan = Plan::default();
    for (class, members) in classes.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        let (_, width, stride) = CLASSES[class];
        match (ways[class], plan.sweeps.last_mut()) {
            (Way::Single, _) => plan.single.extend(members),
            (Way::Joined, Some(sweep)) => {
                sweep.literals.extend(members);
                sweep.stride = stride;
            }
            _ => plan.sweeps.push(Sweep { literals: members.clone(), width, stride }),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strides(literals: &[&str]) -> (Vec<usize>, bool) {
        let literals: Vec<Vec<u8>> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let plan = plan(&literals, &Sample::default());
        (plan.sweeps.iter().map(|sweep| sweep.stride).collect(), plan.few.is_some())
    }

    #[test]
    fn a_few_short_literals_do_not_slow_the_long_ones_down() {
        let long: Vec<String> = (0..100).map(|n| format!("deletebucket{n:02}")).collect();
        let mut all: Vec<&str> = long.iter().map(String::as_str).collect();
        assert_eq!(strides(&all), (vec![8], false));
        assert_eq!(strides(&all[..20]), (vec![], true));
        all.push("root");
        assert_eq!(strides(&all), (vec![8], false));
        all.extend(["alter", "create", "execute"]);
        assert_eq!(strides(&all), (vec![8], true));
        let short: Vec<String> = (100..200).map(|n| format!("a{n}")).collect();
        all.extend(short.iter().map(String::as_str));
        assert_eq!(strides(&all), (vec![1], false));
        assert_eq!(strides(&[]), (vec![], false));
    }
}

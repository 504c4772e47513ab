//! How many instances are taken at a time. Pure: a number of instances in, sizes out.

use std::fmt;
use std::str::FromStr;

/// How the instances are cut into batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Batches {
    /// So many at a time.
    Size(usize),
    /// So many of a hundred at a time: rounded down, because a batch is what may be down at once, and at least one.
    Percent(u8),
    /// Up to so many of a hundred in all by the end of each batch, rounded up; the last is 100.
    Steps(Vec<u8>),
}

impl Batches {
    /// The sizes of the batches for so many instances: none is zero, together they are all.
    pub(crate) fn cut(&self, instances: usize) -> Vec<usize> {
        match self {
            Self::Size(size) => even(instances, *size),
            Self::Percent(percent) => even(instances, instances * usize::from(*percent) / 100),
            Self::Steps(steps) => {
                let mut sizes = Vec::new();
                let mut done = 0;
                for step in steps {
                    let until = (instances * usize::from(*step)).div_ceil(100);
                    if until > done {
                        sizes.push(until - done);
                        done = until;
                    }
                }
                sizes
            }
        }
    }

    /// Cuts a list into its batches, in order.
    pub(crate) fn group<T>(&self, items: Vec<T>) -> Vec<Vec<T>> {
        if dir::planted("all-at-once") {
            return vec![items];
        }
        let sizes = self.cut(items.len());
        let mut items = items.into_iter();
        sizes.into_iter().map(|size| items.by_ref().take(size).collect()).collect()
    }
}

fn even(instances: usize, size: usize) -> Vec<usize> {
    let size = size.max(1);
    let mut sizes = vec![size; instances / size];
    if !instances.is_multiple_of(size) {
        sizes.push(instances % size);
    }
    sizes
}

impl FromStr for Batches {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |part: &str| -> Result<u8, String> {
            let number = part.strip_suffix('%').ok_or_else(|| format!("{part:?} is no percentage"))?;
            match number.parse::<u8>() {
                Ok(n @ 1..=100) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
                _ => Err(format!("{part:?} is no percentage from 1% to 100%")),
            }
        };
        if text.contains(',') {
            let steps = text.split(',').map(percent).collect::<Result<Vec<_>, _>>()?;
            if steps.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err("each step must be greater than the one before, as in 10%,40%,100%".into());
            }
            if steps.last() != Some(&100) {
                return Err("the last step must be 100%, as in 10%,40%,100%".into());
            }
            return Ok(Self::Steps(steps));
        }
        if text.ends_with('%') {
            return percent(text).map(Self::Percent);
        }
        match text.parse::<usize>() {
            Ok(size @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::Size(size)),
            _ => Err("a batch is a number from 1 (2), a percentage (25%) or steps (10%,40%,100%)".into()),
        }
    }
}

impl fmt::Display for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "{size}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Steps(steps) => {
                f.write_str(&steps.iter().map(|step| format!("{step}%")).collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_of_batches() {
        for (batch, instances, sizes) in [
            ("1", 3, vec![1, 1, 1]),
            ("2", 5, vec![2, 2, 1]),
            ("9", 3, vec![3]),
            ("25%", 8, vec![2, 2, 2, 2]),
            ("25%", 3, vec![1, 1, 1]),
            ("50%", 3, vec![1, 1, 1]),
            ("100%", 3, vec![3]),
            ("10%,40%,100%", 10, vec![1, 3, 6]),
            ("10%,40%,100%", 3, vec![1, 1, 1]),
            ("10%,40%,100%", 1, vec![1]),
            ("1%,2%,100%", 4, vec![1, 3]),
            ("1", 0, vec![]),
            ("25%", 0, vec![]),
            ("10%,100%", 0, vec![]),
        ] {
            let sizes_now = batch.parse::<Batches>().unwrap().cut(instances);
            assert_eq!(sizes_now, sizes, "{batch} of {instances}");
        }
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for batch in [
            "",
            "0",
            "-1",
            "+1",
            "0%",
            "101%",
            "1.5",
            "a",
            "%",
            "10%,",
            ",",
            "10%,5%,100%",
            "10%,40%",
            "1,2",
            "50%,50%,100%",
        ] {
            assert!(batch.parse::<Batches>().is_err(), "{batch:?}");
        }
    }

    fn any_batches() -> impl Strategy<Value = Batches> {
        prop_oneof![
            (1usize..50).prop_map(Batches::Size),
            (1u8..=100).prop_map(Batches::Percent),
            proptest::collection::btree_set(1u8..100, 0..6)
                .prop_map(|steps| Batches::Steps(steps.into_iter().chain([100]).collect())),
        ]
    }

    proptest! {
        #[test]
        fn the_batches_together_are_all_in_order_and_none_is_empty(batches in any_batches(), n in 0usize..300) {
            let groups = batches.group((0..n).collect());
            prop_assert!(groups.iter().all(|group| !group.is_empty()));
            prop_assert_eq!(groups.concat(), (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn a_batch_reads_back_as_it_is_written(batches in any_batches()) {
            if !matches!(&batches, Batches::Steps(steps) if steps.len() == 1) {
                prop_assert_eq!(batches.to_string().parse::<Batches>(), Ok(batches));
            }
        }
    }
}

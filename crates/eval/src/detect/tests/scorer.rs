//! The score: bounded, causal, repeatable.

use proptest::prelude::*;

use super::super::Scorer;
use super::*;

fn scores(values: &[f64]) -> Vec<f64> {
    let mut scorer = Scorer::new();
    values
        .iter()
        .enumerate()
        .map(|(i, value)| scorer.score(at(i), *value))
        .collect()
}

#[test]
fn an_event_scores_once() {
    let values = series(600, |i| if (400..410).contains(&i) { 10.0 } else { 0.0 });
    let high: Vec<usize> = (0..600).filter(|i| scores(&values)[*i] > 0.2).collect();
    assert_eq!(high, [400]);
}

#[test]
fn learning_scores_nothing() {
    let values = series(50, |i| if i == 49 { 1e6 } else { 0.0 });
    assert_eq!(scores(&values), vec![0.0; 50]);
}

#[test]
fn a_value_that_is_not_finite_teaches_nothing() {
    let plain = series(600, |i| if i == 400 { 10.0 } else { 0.0 });
    let mut scorer = Scorer::new();
    let mut said = Vec::new();
    for (i, value) in plain.iter().enumerate() {
        said.push(scorer.score(at(i), *value));
        assert_eq!(scorer.score(at(i), f64::NAN), 0.0);
    }
    assert_eq!(said, scores(&plain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Nothing that comes later, nor how much of it, changes a score.
    #[test]
    fn cut_anywhere_it_scores_the_same(
        values in prop::collection::vec(prop_oneof![9 => -10.0..10.0_f64, 1 => any::<f64>()], 1..1_500),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(values.len());
        let whole = scores(&values);
        prop_assert!(whole.iter().all(|score| (0.0..=1.0).contains(score)));
        prop_assert_eq!(&scores(&values[..cut]), &whole[..cut]);
    }
}

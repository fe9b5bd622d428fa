//! Which images the galleries show.

use std::cmp::Reverse;

use crate::report::facts::Facts;
use crate::report::sections::{Case, cases, surest_first};

/// Images in a gallery at most.
const GALLERY: usize = 24;
/// Classes that are shown one by one at most.
const CLASSES: usize = 50;
/// Images of a class that are taken for it, and as many that are not, at most.
const OF_CLASS: usize = 6;

/// The images of all galleries. They are those on whose class the method settled or, where it settles on none, the test
/// images with what the student says of them.
pub(crate) struct Choice {
    /// Whether the method settled on classes.
    pub settled: bool,
    /// Surest of their class, of one class after the other.
    pub surest: Group,
    /// Least sure of their class.
    pub doubtful: Group,
    /// Taken for another class than the annotators hold most likely: training images, then test images.
    pub disagree: Group,
    /// Whose candidates the method does not believe.
    pub not_believed: Group,
    /// Class by class, those with the most candidates.
    pub classes: Vec<OfClass>,
    /// Classes that are not shown.
    pub left_out: usize,
}

/// Some images of many.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Group {
    /// Rows of those that are shown.
    pub rows: Vec<usize>,
    /// How many there are.
    pub of: usize,
}

/// Images of one class.
pub(crate) struct OfClass {
    /// The class.
    pub class: usize,
    /// How many images have it among their candidates.
    pub candidate_of: usize,
    /// Images that are taken for it, the surest first.
    pub taken: Group,
    /// Images that are taken for another although it is a candidate, those first of which it is believed most.
    pub passed_over: Group,
}

impl Choice {
    pub(crate) fn new(facts: &Facts) -> Self {
        let settled = cases(facts, facts.settled_rows());
        let tested = cases(facts, facts.test_rows());
        let differs = |case: &&Case| facts.annotated(case.row).is_some_and(|class| class != case.class);
        let [of_train, of_test] =
            [&settled, &tested].map(|cases| best(cases.iter().filter(differs).map(by_confidence)));
        let disagree = half_of_each(&of_train, &of_test);
        let (settled, pool) = if settled.is_empty() { (false, tested) } else { (true, settled) };
        let not_believed = pool.iter().filter(|case| facts.believed(case.row) == Some(false));
        let not_believed = best(not_believed.map(by_confidence));
        let doubtful = best(pool.iter().map(|case| (-case.confidence, case.row)));
        let (classes, left_out) = by_class(facts, &pool);
        Self { settled, surest: in_turn(pool), doubtful, disagree, not_believed, classes, left_out }
    }

    /// Rows of all images that are shown.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        let all = [&self.surest, &self.doubtful, &self.disagree, &self.not_believed].into_iter();
        let of_classes = self.classes.iter().flat_map(|class| [&class.taken, &class.passed_over]);
        all.chain(of_classes).flat_map(|group| group.rows.iter().copied())
    }
}

fn by_confidence(case: &Case) -> (f32, usize) {
    (case.confidence, case.row)
}

/// The surest image of each class, then the second of each, until there are enough.
fn in_turn(mut cases: Vec<Case>) -> Group {
    cases.sort_by(|a, b| a.class.cmp(&b.class).then(surest_first(a, b)));
    let classes = cases.chunk_by(|a, b| a.class == b.class);
    let ranked = classes.flat_map(|class| class.iter().take(GALLERY).enumerate());
    let mut ranked: Vec<(usize, &Case)> = ranked.collect();
    ranked.sort_by(|(rank, case), (other_rank, other)| rank.cmp(other_rank).then(surest_first(case, other)));
    Group { rows: ranked.iter().take(GALLERY).map(|(_, case)| case.row).collect(), of: cases.len() }
}

/// The images of the highest values.
fn best(values: impl Iterator<Item = (f32, usize)>) -> Group {
    let mut best = Best::new(GALLERY);
    values.for_each(|(value, row)| best.push(value, row));
    best.group()
}

/// Half a gallery of each, and more of one where the other has fewer: what a method is sure of while it trains and what a
/// student is sure of in the end cannot be ranked together.
fn half_of_each(one: &Group, other: &Group) -> Group {
    let most = (GALLERY / 2).max(GALLERY.saturating_sub(other.rows.len()));
    let of_one = most.min(one.rows.len());
    let rows = one.rows.iter().take(of_one).chain(other.rows.iter().take(GALLERY - of_one));
    Group { rows: rows.copied().collect(), of: one.of + other.of }
}

/// The few images of many that have the highest values; of equal ones, those that the table has first.
struct Best {
    most: usize,
    held: Vec<(f32, usize)>,
    seen: usize,
}

impl Best {
    fn new(most: usize) -> Self {
        Self { most, held: Vec::new(), seen: 0 }
    }

    fn push(&mut self, value: f32, row: usize) {
        self.seen += 1;
        let comes_first =
            |&(held, other): &(f32, usize)| held.total_cmp(&value).then(row.cmp(&other)).is_gt();
        let place = self.held.partition_point(comes_first);
        if place < self.most {
            self.held.insert(place, (value, row));
            self.held.truncate(self.most);
        }
    }

    fn group(self) -> Group {
        Group { rows: self.held.into_iter().map(|(_, row)| row).collect(), of: self.seen }
    }
}

/// The candidates of an image and how much each is believed; none where nobody voted, for then any class may be the one.
fn candidates(facts: &Facts, row: usize) -> impl Iterator<Item = (usize, f32)> {
    let classes = facts.labels.candidates[row].iter().map(|&class| usize::from(class));
    let believed = classes.zip(facts.labels.weights[row].iter().copied());
    believed.take(facts.annotated(row).map_or(0, |_| usize::MAX))
}

/// Images of the classes that are candidates most often, and how many classes are left out. A class that is no
/// candidate and for which nothing is taken is none to speak of.
fn by_class(facts: &Facts, pool: &[Case]) -> (Vec<OfClass>, usize) {
    let count = facts.classes().len();
    let (mut candidate_of, mut taken) = (vec![0_usize; count], vec![0_usize; count]);
    for case in pool {
        taken.get_mut(case.class).into_iter().for_each(|images| *images += 1);
        for (class, _) in candidates(facts, case.row) {
            candidate_of.get_mut(class).into_iter().for_each(|images| *images += 1);
        }
    }
    let mut order: Vec<usize> = (0..count).filter(|&class| candidate_of[class] + taken[class] > 0).collect();
    order.sort_by_key(|&class| (Reverse(candidate_of[class]), class));
    let left_out = order.len().saturating_sub(CLASSES);
    order.truncate(CLASSES);
    let mut places = vec![None; count];
    for (place, &class) in order.iter().enumerate() {
        places[class] = Some(place);
    }
    let place_of = |class: usize| places.get(class).copied().flatten();
    let mut found: Vec<[Best; 2]> =
        order.iter().map(|_| [Best::new(OF_CLASS), Best::new(OF_CLASS)]).collect();
    for case in pool {
        if let Some(place) = place_of(case.class) {
            found[place][0].push(case.confidence, case.row);
        }
        for (class, weight) in candidates(facts, case.row).filter(|&(class, _)| class != case.class) {
            if let Some(place) = place_of(class) {
                found[place][1].push(weight, case.row);
            }
        }
    }
    let of_class = |(class, [taken, passed_over]): (usize, [Best; 2])| OfClass {
        class,
        candidate_of: candidate_of[class],
        taken: taken.group(),
        passed_over: passed_over.group(),
    };
    (order.into_iter().zip(found).map(of_class).collect(), left_out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::report::sections::fixture_tests::{Example, Run};

    fn run(classes: usize, examples: &[Example]) -> Run {
        Run::new((0..classes).map(|n| format!("class {n}")).collect(), examples)
    }

    fn group(rows: &[usize], of: usize) -> Group {
        Group { rows: rows.to_vec(), of }
    }

    #[test]
    fn the_surest_images_are_of_one_class_after_the_other() {
        let said = [(0, 0.99), (0, 0.98), (0, 0.97), (1, 0.5), (2, 0.6), (1, 0.4)];
        let run = run(3, &said.map(|said| Example::train(&[(said.0, 1.0)], said)));
        let choice = Choice::new(&run.facts());
        assert_eq!(choice.surest, group(&[0, 4, 3, 1, 5, 2], 6));
        assert_eq!(choice.doubtful, group(&[5, 3, 4, 2, 1, 0], 6));
    }

    #[test]
    fn images_disagree_that_are_taken_for_another_class_than_the_annotators_wherever_they_are() {
        let trained = [(0, 0.5), (1, 0.6), (1, 0.9)].map(|said| Example::train(&[(0, 0.6), (1, 0.4)], said));
        let tested = [(Some(1), (1, 0.9)), (Some(1), (0, 0.7)), (None, (0, 0.8))];
        let tested = tested.map(|(annotated, said)| Example::test(None, annotated, said));
        let choice = Choice::new(&run(2, &[&trained[..], &tested[..]].concat()).facts());
        assert_eq!(choice.disagree, group(&[2, 1, 4], 3));
    }

    #[test]
    fn a_gallery_of_both_splits_is_half_of_each_and_more_of_one_where_the_other_has_fewer() {
        let rows = |rows: std::ops::Range<usize>| Group { of: 2 * rows.len(), rows: rows.collect() };
        let both = half_of_each(&rows(0..24), &rows(100..124));
        assert_eq!(both, Group { rows: (0..12).chain(100..112).collect(), of: 96 });
        let few = half_of_each(&rows(0..3), &rows(100..124));
        assert_eq!(few.rows, (0..3).chain(100..121).collect::<Vec<_>>());
        let few = half_of_each(&rows(0..24), &rows(100..103));
        assert_eq!(few.rows, (0..21).chain(100..103).collect::<Vec<_>>());
        assert_eq!(half_of_each(&rows(0..2), &Group::default()), rows(0..2));
    }

    #[test]
    fn what_is_not_believed_is_shown_where_the_method_divides() {
        let image = Example::train(&[(0, 1.0)], (0, 0.5));
        let doubted = Example { believed: false, ..image.clone() };
        let mut run = run(1, &[image.clone(), doubted, image]);
        assert_eq!(Choice::new(&run.facts()).not_believed, group(&[1], 1));
        run.trained.sample_labels.as_mut().unwrap().division = None;
        assert_eq!(Choice::new(&run.facts()).not_believed, Group::default());
    }

    #[test]
    fn a_class_has_those_that_are_taken_for_it_and_those_that_it_is_passed_over_for() {
        let of = |candidates: &[(u16, f32)], said| Example::train(candidates, said);
        let examples = [
            of(&[(0, 0.7), (1, 0.3)], (0, 0.5)),
            of(&[(1, 0.6), (0, 0.4)], (1, 0.9)),
            of(&[(2, 1.0)], (0, 0.8)),
            of(&[(0, 0.9), (2, 0.1)], (2, 0.9)),
            Example { single: None, ..of(&[(0, 0.5), (1, 0.5)], (1, 0.3)) },
        ];
        let choice = Choice::new(&run(4, &examples).facts());
        let [first, ..] = choice.classes.as_slice() else { panic!("no class") };
        assert_eq!((first.class, first.candidate_of), (0, 3));
        assert_eq!(first.taken, group(&[2, 0], 2));
        assert_eq!(first.passed_over, group(&[3, 1], 2), "not where nobody voted");
        let classes: Vec<usize> = choice.classes.iter().map(|class| class.class).collect();
        assert_eq!((classes, choice.left_out), (vec![0, 1, 2], 0));
    }

    #[test]
    fn of_many_classes_and_images_few_are_shown() {
        let said = |n: u16| (n % 90, f32::from(n) / 2000.0);
        let image = |n: u16| Example::train(&[(n % 90, 0.6), ((n + 1) % 90, 0.4)], said(n));
        let choice = Choice::new(&run(100, &(0..1800).map(image).collect::<Vec<_>>()).facts());
        assert_eq!((choice.classes.len(), choice.left_out), (50, 40));
        for class in &choice.classes {
            let (taken, passed_over) = (&class.taken, &class.passed_over);
            assert_eq!((taken.rows.len(), taken.of, passed_over.rows.len(), passed_over.of), (6, 20, 6, 20));
        }
        assert_eq!((choice.surest.rows.len(), choice.surest.of), (24, 1800));
    }

    #[test]
    fn where_the_method_settles_on_nothing_test_images_are_shown() {
        let mut run =
            run(2, &[Example::train(&[(0, 1.0)], (0, 0.5)), Example::test(None, Some(1), (1, 0.75))]);
        assert_eq!(Choice::new(&run.facts()).surest, group(&[0], 1));
        run.trained.sample_labels = None;
        let choice = Choice::new(&run.facts());
        assert_eq!((choice.settled, choice.surest), (false, group(&[1], 1)));
    }
}

//! What is counted of the student's mistakes, which cells of the matrix are shown, and which images of each.

use std::cmp::Reverse;

use super::order::side_by_side;
use crate::report::facts::Facts;
use crate::report::sections::{Case, cases, surest_first};

/// Classes in the matrix at most: what fits a screen.
const MATRIX: usize = 30;
/// Confusions in the list: beside the whole matrix, and beside a part of it.
const LISTED: [usize; 2] = [10, 50];
/// Pictures of a cell at most.
const CELL: usize = 12;
/// Pictures of all cells at most: 1 to 2 MB.
const PICTURES: usize = 1000;

/// What the student takes test images for, against their true classes or, where none is known, against what their
/// annotators say.
pub(crate) struct Choice {
    /// Whether images are told apart by their true class rather than the annotators'.
    pub by_truth: bool,
    /// Images of each class.
    pub images: Vec<usize>,
    /// The cells that hold an image, by class and then by what it is taken for.
    cells: Vec<Cell>,
    /// The classes that are rows of the matrix, in an order in which those that are taken for each other stand side by
    /// side.
    pub matrix: Vec<usize>,
    /// The classes that are its columns: of all classes the same, of some those that the rows are taken for most often.
    pub columns: Vec<usize>,
    /// The most frequent confusions, by their place among the cells.
    listed: Vec<usize>,
    /// Cells of the matrix and the list that have no pictures.
    pub without_pictures: usize,
}

/// Images of one class that are taken for one class.
pub(crate) struct Cell {
    pub class: usize,
    pub taken_for: usize,
    /// How many there are.
    pub images: usize,
    /// Rows of those that are shown: of what differs the surest, of what agrees the least sure.
    pub pictures: Vec<usize>,
}

impl Cell {
    /// Whether the image is taken for another class.
    pub fn differs(&self) -> bool {
        self.class != self.taken_for
    }
}

impl Choice {
    /// None where there is nothing to compare the student with.
    pub(crate) fn new(facts: &Facts) -> Option<Self> {
        let classes = facts.classes().len();
        let tested = cases(facts, facts.test_rows());
        let by_truth = tested.iter().any(|case| facts.truth(case.row).is_some());
        let class_of = |row| if by_truth { facts.truth(row) } else { facts.annotated(row) };
        let known = tested.into_iter().filter_map(|case| Some((class_of(case.row)?, case)));
        let mut known: Vec<(usize, Case)> =
            known.filter(|&(class, case)| class < classes && case.class < classes).collect();
        known.sort_by(|(class, case), (other_class, other)| {
            let cell = (class, case.class).cmp(&(other_class, other.class));
            let surest = surest_first(case, other);
            cell.then(if *class == case.class { surest.reverse() } else { surest })
        });
        let same_cell = |(class, case): &(usize, Case), (other_class, other): &(usize, Case)| {
            (*class, case.class) == (*other_class, other.class)
        };
        let groups: Vec<&[(usize, Case)]> = known.chunk_by(same_cell).collect();
        let cell = |group: &&[(usize, Case)]| {
            let &(class, case) = group.first()?;
            Some(Cell { class, taken_for: case.class, images: group.len(), pictures: Vec::new() })
        };
        let cells: Vec<Cell> = groups.iter().filter_map(cell).collect();
        if cells.is_empty() {
            return None;
        }
        let (mut images, mut wrong) = (vec![0; classes], vec![0; classes]);
        for cell in &cells {
            images[cell.class] += cell.images;
            wrong[cell.class] += if cell.differs() { cell.images } else { 0 };
        }
        // A class without an image is a row without a number: it has a place where all have one.
        let there: Vec<usize> =
            (0..classes).filter(|&class| classes <= MATRIX || images[class] > 0).collect();
        let (matrix, columns, listed) = (Vec::new(), Vec::new(), Vec::new());
        let mut choice = Self { by_truth, images, cells, matrix, columns, listed, without_pictures: 0 };
        choice.matrix = choice.ordered(most(MATRIX, there, &wrong));
        choice.columns = choice.taken_for();
        choice.listed = choice.most_frequent(LISTED[usize::from(choice.is_part())]);
        choice.choose_pictures(&groups);
        Some(choice)
    }

    /// The classes side by side with those that they are taken for.
    fn ordered(&self, classes: Vec<usize>) -> Vec<usize> {
        let share = |class, taken_for| self.cell(class, taken_for).map_or(0.0, |cell| self.share(cell));
        let row = |&class: &usize| classes.iter().map(|&taken_for| share(class, taken_for)).collect();
        let shares: Vec<Vec<f64>> = classes.iter().map(row).collect();
        side_by_side(&shares).into_iter().map(|place| classes[place]).collect()
    }

    /// What the rows are taken for: as many classes as there may be, those first that are rows, too, in their order, then
    /// the others, the most frequent first.
    fn taken_for(&self) -> Vec<usize> {
        if !self.is_part() {
            return self.matrix.clone();
        }
        let mut place = vec![None; self.images.len()];
        self.matrix.iter().enumerate().for_each(|(at, &class)| place[class] = Some(at));
        let mut images = vec![0; self.images.len()];
        for cell in self.cells.iter().filter(|cell| place[cell.class].is_some()) {
            images[cell.taken_for] += cell.images;
        }
        let mut columns: Vec<usize> = (0..images.len()).filter(|&class| images[class] > 0).collect();
        // Of as many images a row's own class comes before another.
        columns.sort_by_key(|&class| (Reverse(images[class]), place[class].is_none(), class));
        columns.truncate(MATRIX);
        // The sort is stable: what is no row stays in the order of its images.
        columns.sort_by_key(|&class| place[class].unwrap_or(usize::MAX));
        columns
    }

    fn most_frequent(&self, count: usize) -> Vec<usize> {
        let mut listed: Vec<usize> = (0..self.cells.len()).filter(|&at| self.cells[at].differs()).collect();
        listed.sort_by_key(|&at| (Reverse(self.cells[at].images), at));
        listed.truncate(count);
        listed
    }

    /// The most frequent cells have pictures, as long as there is room. `groups` has the images of each cell.
    fn choose_pictures(&mut self, groups: &[&[(usize, Case)]]) {
        let marked = |classes: &[usize]| {
            let mut marked = vec![false; self.images.len()];
            classes.iter().for_each(|&class| marked[class] = true);
            marked
        };
        let (rows, columns) = (marked(&self.matrix), marked(&self.columns));
        let in_matrix = |at: &usize| rows[self.cells[*at].class] && columns[self.cells[*at].taken_for];
        let mut shown: Vec<usize> = (0..self.cells.len()).filter(in_matrix).collect();
        shown.extend(&self.listed);
        shown.sort_by_key(|&at| (Reverse(self.cells[at].images), at));
        shown.dedup();
        let mut room = PICTURES;
        for &at in &shown {
            let wanted = groups[at].len().min(CELL);
            if wanted > room {
                break;
            }
            room -= wanted;
            self.cells[at].pictures = groups[at].iter().take(wanted).map(|(_, case)| case.row).collect();
        }
        self.without_pictures = shown.iter().filter(|&&at| self.cells[at].pictures.is_empty()).count();
    }

    /// Rows of all images that are shown.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        self.cells.iter().flat_map(|cell| cell.pictures.iter().copied())
    }

    /// Whether the matrix holds some of the classes only.
    pub(crate) fn is_part(&self) -> bool {
        self.matrix.len() < self.images.len()
    }

    /// The images of `class` that are taken for `taken_for`, if there is one.
    pub(crate) fn cell(&self, class: usize, taken_for: usize) -> Option<&Cell> {
        let found = self.cells.binary_search_by_key(&(class, taken_for), |cell| (cell.class, cell.taken_for));
        self.cells.get(found.ok()?)
    }

    /// The cell's share of the images of its class.
    pub(crate) fn share(&self, cell: &Cell) -> f64 {
        cell.images as f64 / self.images[cell.class].max(1) as f64
    }

    /// The most frequent confusions, the most frequent one first.
    pub(crate) fn listed(&self) -> impl ExactSizeIterator<Item = &Cell> {
        self.listed.iter().map(|&at| &self.cells[at])
    }

    /// The cells that have pictures, by class.
    pub(crate) fn pictured(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.pictures.is_empty())
    }

    /// Images that are taken for another class.
    pub(crate) fn different(&self) -> usize {
        self.cells.iter().filter(|cell| cell.differs()).map(|cell| cell.images).sum()
    }
}

/// Those of `places` that have the highest numbers, ascending; of equals the first.
fn most(count: usize, mut places: Vec<usize>, numbers: &[usize]) -> Vec<usize> {
    places.sort_by_key(|&at| (Reverse(numbers[at]), at));
    places.truncate(count);
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::report::sections::fixture_tests::{Example, Run};

    fn choice(classes: usize, examples: &[Example]) -> Option<Choice> {
        let run = Run::new((0..classes).map(|n| format!("class {n}")).collect(), examples);
        Choice::new(&run.facts())
    }

    #[test]
    fn a_cell_shows_its_surest_mistakes_and_its_least_sure_hits() {
        let said = [(1, 0.6), (1, 0.9), (0, 0.8), (1, 0.6), (0, 0.3)];
        let choice = choice(2, &said.map(|said| Example::test(Some(0), None, said))).unwrap();
        assert_eq!(choice.cell(0, 1).unwrap().pictures, [1, 0, 3]);
        assert_eq!(choice.cell(0, 0).unwrap().pictures, [4, 2]);
        assert!(choice.cell(1, 0).is_none());
        assert_eq!((choice.images.as_slice(), choice.different()), (&[5, 0][..], 3));
    }

    #[test]
    fn without_a_known_truth_the_annotators_class_stands_in_its_place() {
        let tested = |truth| {
            let of = |annotated, said| Example::test(truth, annotated, (said, 0.5));
            choice(3, &[of(Some(2), 0), of(Some(2), 2), of(None, 1)]).unwrap()
        };
        let annotated = tested(None);
        assert!(!annotated.by_truth);
        assert_eq!((annotated.images.as_slice(), annotated.different()), (&[0, 0, 2][..], 1));
        let known = tested(Some(1));
        assert!(known.by_truth);
        assert_eq!((known.images.as_slice(), known.different()), (&[0, 3, 0][..], 2));
    }

    #[test]
    fn there_is_no_matrix_where_there_is_nothing_to_compare_with() {
        assert!(choice(2, &[]).is_none());
        assert!(choice(2, &[Example::test(None, None, (1, 0.5))]).is_none());
        assert!(choice(2, &[Example::train(&[(0, 1.0)], (0, 0.5))]).is_none());
    }

    #[test]
    fn of_many_classes_the_matrix_holds_those_with_most_errors_and_the_list_all() {
        // Class c is taken for c + 1 c times, and once for itself.
        let of = |class: u16| {
            let wrong = (0..class).map(move |_| (class + 1, 0.5));
            wrong.chain([(class, 0.9)]).map(move |said| Example::test(Some(class.into()), None, said))
        };
        let choice = choice(42, &(0..41).flat_map(of).collect::<Vec<_>>()).unwrap();
        let mut matrix = choice.matrix.clone();
        matrix.sort_unstable();
        assert_eq!(matrix, (11..41).collect::<Vec<_>>());
        assert!(choice.is_part());
        // Class 11 is taken for what it is once; class 41 has no image, and 40 of class 40 are taken for it.
        let of_rows: Vec<usize> = choice.matrix.iter().copied().filter(|&class| class != 11).collect();
        assert_eq!(choice.columns, [&of_rows[..], &[41]].concat());
        let listed: Vec<(usize, usize)> = choice.listed().map(|cell| (cell.class, cell.images)).collect();
        assert_eq!((listed.len(), listed[0], listed[39]), (40, (40, 40), (1, 1)));
        assert_eq!(choice.without_pictures, 0);
        assert_eq!(choice.cell(40, 41).unwrap().pictures.len(), CELL);
    }

    #[test]
    fn no_row_of_a_part_is_empty_whatever_its_class_is_taken_for() {
        // Of 200 classes 40 have images, each two: one of them is taken for class 100, the other for one of its own.
        let of =
            |class: u16| [100, 101 + class].map(|said| Example::test(Some(class.into()), None, (said, 0.5)));
        let choice = choice(200, &(0..40).flat_map(of).collect::<Vec<_>>()).unwrap();
        assert_eq!((choice.matrix.len(), choice.columns.len(), choice.columns[0]), (MATRIX, MATRIX, 100));
        assert!(
            choice.matrix.iter().all(|&class| choice.cell(class, 100).is_some_and(|cell| cell.images == 1))
        );
        // Classes without an image are no rows.
        let few = self::choice(200, &[Example::test(Some(7), None, (150, 0.5))]).unwrap();
        assert_eq!((few.matrix.as_slice(), few.columns.as_slice()), (&[7][..], &[150][..]));
    }

    #[test]
    fn the_most_frequent_cells_have_pictures_while_there_is_room() {
        // Ten classes, each pair of which occurs: cells of 11 to 20 images.
        let of = |class: u16, taken_for: u16| {
            let images = 11 + (class + taken_for) % 10;
            (0..images)
                .map(move |n| Example::test(Some(class.into()), None, (taken_for, f32::from(n) / 20.0)))
        };
        let pairs = (0..10).flat_map(|class| (0..10).map(move |taken_for| (class, taken_for)));
        let examples: Vec<Example> = pairs.flat_map(|(class, taken_for)| of(class, taken_for)).collect();
        let choice = choice(10, &examples).unwrap();
        assert!(!choice.is_part());
        let rows = choice.rows().count();
        assert!(rows <= PICTURES && rows > PICTURES - CELL, "{rows}");
        let shown = choice.pictured().map(|cell| cell.images).min().unwrap();
        let hidden = choice.cells.iter().filter(|cell| cell.pictures.is_empty());
        let hidden: Vec<usize> = hidden.map(|cell| cell.images).collect();
        assert_eq!(hidden.len(), choice.without_pictures);
        assert!(!hidden.is_empty() && hidden.iter().all(|&images| images <= shown), "{hidden:?}, {shown}");
    }
}

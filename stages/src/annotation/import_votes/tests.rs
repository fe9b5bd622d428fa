#![allow(clippy::unwrap_used)]
use super::rows::VoteRow;
use super::*;
use crate::artifacts::images::Split;

fn index() -> Index {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Index {
        ids: words(&["a", "b", "c", "t"]),
        splits: vec![Split::Train, Split::Train, Split::Train, Split::Test],
        labels: vec![None; 4],
        classes: words(&["cat", "dog", "cow"]),
    }
}

fn import() -> ImportVotes {
    ImportVotes {
        file: PathBuf::from("votes.parquet"),
        annotator: None,
        class_texts: index().classes,
        aliases: BTreeMap::from([("cat".to_owned(), vec!["kitten".to_owned()])]),
        min_confidence: 0.0,
        incomplete: false,
        surplus: false,
    }
}

fn row(id: &str, annotator: &str, answer: &str) -> VoteRow {
    let answer = (!answer.is_empty()).then(|| VoteAnswer::Text(answer.to_owned()));
    VoteRow { at: 0, id: id.to_owned(), annotator: annotator.to_owned(), answer, confidence: 1.0 }
}

fn count(import: &ImportVotes, rows: &[VoteRow]) -> Result<Votes> {
    let rows = (0..).zip(rows).map(|(at, row)| VoteRow { at, ..row.clone() }).collect();
    let table = VoteTable { rows, unit: "row", notes: Vec::new() };
    import.count(&table, &index(), &Context::for_test("nowhere"))
}

fn refused(import: &ImportVotes, rows: &[VoteRow], words: &[&str]) {
    let error = count(import, rows).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn whole() -> Vec<VoteRow> {
    ["a", "b", "c", "t"].map(|id| row(id, "m", "cat")).to_vec()
}

#[test]
fn answers_become_votes_in_the_order_of_images_and_annotators() {
    let rows = [
        row("c", "zoe", "it is a cow"),
        row("c", "anna", "Kitten"),
        row("b", "anna", "dog"),
        row("a", "anna", "a cat but not a dog, or a horse and no cat"),
        row("a", "zoe", "cat"),
        row("t", "zoe", ""),
    ];
    let votes = count(&import(), &rows).unwrap();
    assert_eq!(votes.names.annotators, ["anna", "zoe"]);
    let expected = [None, Some(0), Some(1), None, Some(0), Some(2), None, None];
    assert_eq!(votes.votes, expected);
    assert_eq!(votes.probs(0), [1.0, 0.0, 0.0]);
    assert_eq!(votes.probs(2), [0.5, 0.0, 0.5]);
    assert_eq!(votes.probs(3), [1.0 / 3.0; 3]);
    let unmatched = Unmatched {
        annotator: "anna".to_owned(),
        answer: "a cat but not a dog, or a horse and no cat".to_owned(),
        reason: "negation".to_owned(),
        images: 1,
    };
    assert_eq!(votes.unmatched, [unmatched]);
    let mut turned = rows.to_vec();
    turned.reverse();
    assert_eq!(count(&import(), &turned).unwrap(), votes);
}

#[test]
fn a_confidence_goes_to_the_class_and_what_is_left_to_the_others() {
    let mut rows = whole();
    rows[0].confidence = 0.5;
    rows[1].confidence = 0.25;
    let votes = count(&import(), &rows).unwrap();
    assert_eq!(votes.probs(0), [0.5, 0.25, 0.25]);
    let votes = count(&ImportVotes { min_confidence: 0.5, ..import() }, &rows).unwrap();
    assert_eq!(votes.votes, [Some(0), None, Some(0), Some(0)]);
    for wrong in [1.5, -0.1, f64::NAN] {
        rows[2].confidence = wrong;
        refused(&import(), &rows, &["row 2", "confidence"]);
    }
}

#[test]
fn several_named_classes_are_votes_that_share_the_confidence() {
    let mut rows = whole();
    rows[0].answer = Some(VoteAnswer::Text("a dog or a cat".to_owned()));
    rows[0].confidence = 0.5;
    rows[1].answer = Some(VoteAnswer::Text("cat, dog or cow".to_owned()));
    rows[1].confidence = 0.5;
    let votes = count(&import(), &rows).unwrap();
    assert_eq!(votes.votes, [Some(0); 4]);
    let further = |row, class| Further { row, annotator: 0, class };
    assert_eq!(votes.further, [further(0, 1), further(1, 1), further(1, 2)]);
    assert_eq!(votes.named_on(0), [Some(0), Some(1)]);
    assert_eq!(votes.probs(0), [0.25, 0.25, 0.5]);
    assert_eq!(votes.probs(1), [1.0 / 3.0; 3]);
    assert_eq!(votes.probs(2), [1.0, 0.0, 0.0]);
}

#[test]
fn numerals_are_names_where_classes_are_called_so_and_gaps_are_no_votes() {
    let mut rows = whole();
    rows[0].answer = Some(VoteAnswer::Numeral(2));
    rows[1].answer = Some(VoteAnswer::Text("NaN".to_owned()));
    assert_eq!(count(&import(), &rows).unwrap().votes, [Some(2), None, Some(0), Some(0)]);
    rows[1].answer = Some(VoteAnswer::Numeral(3));
    refused(&import(), &rows, &["row 1", "no class 3", "from 0"]);
    let table = VoteTable { rows: rows[..1].to_vec(), unit: "row", notes: Vec::new() };
    let index = Index { classes: ["1", "2", "none"].map(str::to_owned).to_vec(), ..index() };
    let import = ImportVotes {
        class_texts: index.classes.clone(),
        aliases: BTreeMap::new(),
        incomplete: true,
        ..import()
    };
    let named =
        |table: &VoteTable| import.count(table, &index, &Context::for_test("nowhere")).unwrap().votes[0];
    assert_eq!(named(&table), Some(1));
    // By their places, where a word stands before each number: `c10` comes before `c2`.
    let words = Index { classes: ["c1", "c10", "c2"].map(str::to_owned).to_vec(), ..index.clone() };
    let by_place = ImportVotes { class_texts: words.classes.clone(), ..import.clone() };
    let votes = by_place.count(&table, &words, &Context::for_test("nowhere")).unwrap().votes;
    assert_eq!(votes[0], Some(2));
    let none = VoteTable { rows: vec![row("a", "m", "None")], ..table };
    assert_eq!(named(&none), Some(2));
}

#[test]
fn ids_that_a_spreadsheet_changed_are_still_the_images() {
    let mut index = index();
    index.ids = ["x/a.png", "e\u{301}.png", "d/1", "D"].map(str::to_owned).to_vec();
    let rows =
        [row(" x\\a.png ", "m", "cat"), row("\u{e9}.png", "m", "dog"), row("./d/1", "m", "cow")].to_vec();
    let table = VoteTable { rows, unit: "row", notes: Vec::new() };
    let votes = import().count(&table, &index, &Context::for_test("nowhere")).unwrap();
    assert_eq!(votes.votes, [Some(0), Some(1), Some(2), None]);
    let twice = VoteTable { rows: [&table.rows[..], &[row("d/1", "m", "dog")]].concat(), ..table };
    let error = import().count(&twice, &index, &Context::for_test("nowhere")).unwrap_err().to_string();
    assert!(error.contains("there twice: `d/1 by m`"), "{error}");
}

#[test]
fn ids_that_are_doubled_unknown_or_missing_are_refused_with_the_first_few() {
    let mut rows = whole();
    rows.push(row("b", "m", "dog"));
    refused(
        &import(),
        &rows,
        &["1 vote is there twice", "`b by m`", "row 1 has `cat`, and row 4 `dog`", "remove one"],
    );

    let mut rows = whole();
    rows.extend((0..9).map(|n| row(&format!("x{n}"), "m", "dog")));
    refused(
        &import(),
        &rows,
        &["9 votes", "`x0`, `x1`, `x2`, `x3`, `x4` and 4 more", "votes.surplus", "`a`"],
    );
    assert_eq!(count(&ImportVotes { surplus: true, ..import() }, &rows).unwrap().votes.len(), 4);

    let rows = [row("a", "m", "dog")];
    let one = [row("a", "m", "dog"), row("c", "m", "dog")];
    refused(&import(), &one, &["1 training image has no row: `b`"]);
    refused(&import(), &rows, &["2 training images have no row: `b`, `c`", "votes.incomplete"]);
    let votes = count(&ImportVotes { incomplete: true, ..import() }, &rows).unwrap();
    assert_eq!(votes.votes, [Some(1), None, None, None]);
}

#[test]
fn test_images_may_do_without_votes() {
    assert!(count(&import(), &whole()[..3]).is_ok());
}

#[test]
fn numbers_are_classes_from_zero() {
    let mut rows = whole();
    rows[1].answer = Some(VoteAnswer::Number(2));
    assert_eq!(count(&import(), &rows).unwrap().votes[1], Some(2));
    for wrong in [3, -1, i64::MAX] {
        rows[1].answer = Some(VoteAnswer::Number(wrong));
        refused(&import(), &rows, &["row 1", &wrong.to_string(), "3 classes", "`cow`"]);
    }
}

#[test]
fn answers_none_of_which_is_a_class_are_refused_with_what_they_were() {
    let rows = ["a", "b", "c"].map(|id| row(id, "m", "a horse"));
    refused(&import(), &rows, &["`a horse`", "`cat`, `dog`, `cow`", "votes.aliases"]);
    refused(&import(), &[], &["3 training images"]);
    refused(&ImportVotes { incomplete: true, ..import() }, &[], &["there is no vote"]);
}

#[test]
fn aliases_are_read_a_class_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aliases.txt");
    std::fs::write(&file, "# what models say\ncat: kitten | tabby\ndog: puppy\n").unwrap();
    let names = index().classes;
    let classes = Classes { texts: names.clone(), names, renamed: Vec::new() };
    let read = |path: &Path| aliases(path.to_str().unwrap(), &classes);
    let (all, _) = read(&file).unwrap();
    assert_eq!(all["cat"], ["kitten", "tabby"]);
    assert_eq!(all["dog"], ["puppy"]);
    assert!(read(Path::new("")).unwrap().0.is_empty());
    let refused = |path: &Path, words: &str| {
        let error = read(path).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(path.to_str().unwrap()), "{error}");
    };
    refused(Path::new("nowhere.txt"), "cannot use the aliases");
    std::fs::write(&file, "cat: dog\n").unwrap();
    refused(&file, "`dog` stands for two classes");
}

#[test]
fn a_row_that_is_there_twice_counts_once_and_a_different_one_is_refused() {
    let mut rows = whole();
    rows.push(row("b", "m", "cat"));
    let votes = count(&import(), &rows).unwrap();
    assert_eq!(votes, count(&import(), &whole()).unwrap());
    rows[4].confidence = 0.5;
    refused(&import(), &rows, &["there twice", "`cat` with confidence 0.5"]);
    rows[4] = row("b", "n", "dog");
    assert_eq!(count(&import(), &rows).unwrap().names.annotators, ["m", "n"]);
}

#[test]
fn ids_in_a_folder_or_without_an_ending_are_found_where_all_are() {
    let mut index = index();
    index.ids = ["0.png", "1.png", "2.png", "3.png"].map(str::to_owned).to_vec();
    let counted = |import: &ImportVotes, ids: [&str; 4]| {
        let rows = ids.map(|id| row(id, "m", "cow")).to_vec();
        let table = VoteTable { rows, unit: "row", notes: Vec::new() };
        import.count(&table, &index, &Context::for_test("nowhere"))
    };
    for ids in [["0", "1", "2", "3"], ["/data/0.png", "/data/1.png", "/data/2.png", "3.png"]] {
        assert_eq!(counted(&import(), ids).unwrap().votes, [Some(2); 4]);
    }
    let refused = |import: &ImportVotes, ids, words: &[&str]| {
        let error = counted(import, ids).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let none =
        ["all 4 votes are on ids that no image has", "`a0`", "images are called `0.png`", "images.parquet"];
    let surplus = ImportVotes { surplus: true, incomplete: true, ..import() };
    refused(&import(), ["a0", "a1", "a2", "a3"], &none);
    refused(&surplus, ["a0", "a1", "a2", "a3"], &none);
    refused(&import(), ["0.png", "1", "2", "x"], &["3 votes are on ids that no image has", "`0.png`"]);
    refused(&import(), ["a/0.png", "b/0.png", "1.png", "2.png"], &["may both be `0.png`"]);
}

#[test]
fn why_there_is_no_vote_is_said() {
    let empty = ["a", "b", "c"].map(|id| row(id, "m", ""));
    refused(&import(), &empty, &["every class is empty", "`cat`"]);
    let gaps = [row("a", "m", "n/a"), row("b", "m", "unknown"), row("c", "m", "-")];
    refused(&import(), &gaps, &["every class is empty"]);
    let mut unsure = whole();
    unsure.iter_mut().for_each(|row| row.confidence = 0.5);
    let import = ImportVotes { min_confidence: 0.9, ..import() };
    refused(&import, &unsure, &["votes.min_confidence = 0.9", "highest confidence is 0.5"]);
}

#[test]
fn each_answer_is_counted_once() {
    let mut counts = AnswerCounts::default();
    counts.silent += 5;
    counts.add(&Match::Named(0));
    counts.add(&Match::AnyOf(vec![0, 1]));
    counts.unsure += 1;
    let words = counts.to_words(&["m".to_owned()], &[]);
    assert_eq!(
        words,
        "8 answers of `m`: 1 is a class, 1 names several classes, each of which is a candidate, 5 are empty, 1 is not sure enough"
    );
}

#[test]
fn an_alias_of_two_classes_is_refused_with_both() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let names = ["Dog", "Cat"].map(str::to_owned).to_vec();
    let classes = Classes { texts: names.clone(), names, renamed: Vec::new() };
    for text in ["Dog: pet\nCat: pet\n", "Dog: hound | pet\nCat: Pet\n"] {
        std::fs::write(file.path(), text).unwrap();
        let error = aliases(file.path().to_str().unwrap(), &classes).unwrap_err().to_string();
        assert!(
            error.to_lowercase().contains("`pet` is an alias of two classes, `dog` and `cat`"),
            "{error}"
        );
        assert!(!error.contains("CLIP"), "{error}");
    }
}

#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::Match::{Alias, AnyOf, Contradiction, Named, Negated, Nothing, Several, Within};
use super::*;

fn vocabulary() -> Vocabulary {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let names = texts(&["AnnualCrop", "SeaLake", "dress", "dress_shoe", "T-shirt/top", "C#"]);
    let told = texts(&["annual crop land", "sea or lake", "dress", "shoe for dances", "t-shirt | top", "C#"]);
    let aliases = BTreeMap::from([
        ("sealake".to_owned(), texts(&["water", "open sea"])),
        ("dress shoe".to_owned(), texts(&["pumps"])),
    ]);
    Vocabulary::new(&names, &told, &aliases).unwrap()
}

#[test]
fn a_class_is_known_by_its_name_text_or_number_however_it_is_written() {
    let all = vocabulary();
    for (answer, class) in [
        ("annual crop", 0),
        (" SEA-LAKE. ", 1),
        ("sea or lake", 1),
        ("top", 4),
        ("t shirt/top", 4),
        ("c#", 5),
        ("3", 3),
    ] {
        assert_eq!(all.find(answer), Named(class), "{answer}");
    }
}

#[test]
fn an_alias_is_known_alone_and_within_a_sentence() {
    let all = vocabulary();
    assert_eq!(all.find("Water"), Alias(1));
    assert_eq!(all.find("I see the open sea here"), Alias(1));
    assert_eq!(all.find("shiny pumps"), Alias(3));
}

#[test]
fn a_sentence_means_the_one_class_whose_words_it_holds() {
    let all = vocabulary();
    assert_eq!(all.find("The image shows an annual crop."), Within(0));
    assert_eq!(all.find("AnnualCrop, I think"), Within(0));
    assert_eq!(all.find("This is a dress shoe!"), Within(3));
    assert_eq!(all.find("a red dress, a long dress"), Within(2));
    assert_eq!(all.find("a dress and a dress shoe"), AnyOf(vec![2, 3]));
    assert_eq!(all.find("an annual cropping"), Nothing);
    assert_eq!(all.find("annual"), Nothing);
    assert_eq!(all.find(""), Nothing);
    assert_eq!(all.find("6"), Nothing);
    assert_eq!(all.find("-1"), Nothing);
}

#[test]
fn an_alias_of_two_classes_or_of_none_is_refused() {
    let names = ["cat", "dog"].map(str::to_owned);
    let aliases = |class: &str, alias: &str| BTreeMap::from([(class.to_owned(), vec![alias.to_owned()])]);
    let refused = |class, alias| {
        let made = Vocabulary::new(&names, &names, &aliases(class, alias));
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused("cat", "dog").contains("`dog` stands for two classes: `dog` and `cat`"));
    assert!(refused("cow", "calf").contains("there is no class `cow`"));
    assert_eq!(refused("cat", "kitten"), "");
}

#[test]
fn a_wording_that_two_classes_share_means_neither() {
    let names = ["bird", "machine", "crane"].map(str::to_owned);
    let texts = ["crane bird | lifting", "crane | lifting", "crane"].map(str::to_owned);
    let all = Vocabulary::new(&names, &texts, &BTreeMap::new()).unwrap();
    assert_eq!(all.find("lifting"), Several);
    assert_eq!(all.find("it is lifting"), Several);
    assert_eq!(all.find("crane"), Named(2));
    assert_eq!(all.find("a crane bird"), Within(0));
    assert_eq!(all.find("a small bird"), Within(0));
}

/// Fashion-MNIST's own names, without a text or an alias.
#[test]
fn a_t_shirt_is_no_shirt() {
    let names = ["T-shirt/top", "Trouser", "Dress", "Coat", "Shirt", "Ankle boot"].map(str::to_owned);
    let all = Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap();
    for answer in ["T-shirt", "t shirt", "top", "T-SHIRT / TOP."] {
        assert_eq!(all.find(answer), Named(0), "{answer}");
    }
    for answer in ["This is a t-shirt.", "a T‑shirt or top", "a white T-shirt"] {
        assert_eq!(all.find(answer), Within(0), "{answer}");
    }
    assert_eq!(all.find("a shirt"), Within(4));
    assert_eq!(all.find("a dress-like thing"), Nothing);
    assert_eq!(all.find("a sweat-shirt"), Nothing);
    assert_eq!(all.find("ankle-boot"), Named(5));
    let names = ["N/A", "dog"].map(str::to_owned);
    let all = Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap();
    assert_eq!([all.find("a dog"), all.find("n/a")], [Within(1), Named(0)]);
}

#[test]
fn where_numerals_are_names_they_are_no_places_in_the_list() {
    let of = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap()
    };
    let padded = of(&["01", "02", "03"]);
    assert_eq!(
        [padded.find("1"), padded.find("03"), padded.find("0"), padded.find("4")],
        [Named(0), Named(2), Nothing, Nothing]
    );
    let from_one = of(&["1", "2", "3"]);
    assert_eq!(
        [from_one.find("1"), from_one.find("0"), from_one.find("it is a 3")],
        [Named(0), Nothing, Within(2)]
    );
    assert_eq!(of(&["number 0", "number 1"]).find("1"), Named(1));
}

fn of(names: &[&str]) -> Vocabulary {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap()
}

/// What answers mean where there are a cat, a dog and a cow.
fn animals(answers: &[(&str, Match)]) {
    let all = of(&["cat", "dog", "cow"]);
    for (answer, expected) in answers {
        assert_eq!(all.find(answer), *expected, "{answer}");
    }
}

#[test]
fn what_is_negated_is_no_vote() {
    for answer in [
        "There is no dog.",
        "Not a dog",
        "It isn't a dog",
        "It isn’t a dog",
        "no dogs here",
        "neither a cat nor a dog",
        "without a dog",
        "I don't think this is a dog",
        "A dog is not visible.",
        "The dog isn't there",
        "dog: no",
        "This is definitely not a dog",
        "The image lacks a dog",
        "anything but a dog",
        "It can't be a cat or a dog.",
        "No cat, dog, or cow is in the picture",
        "not a cat, a dog or a cow",
        "The dog is absent.",
        "non-dog, no dog",
        "I doubt that it is a dog",
        "I cannot tell whether it is a cat or a dog",
        "A dog? No. Not a dog.",
        "Kein Hund, no dog",
        "This is a dog. No, it is not a dog.",
        "nor a dog",
        "I do not see any dog; no cat either",
    ] {
        assert_eq!(of(&["cat", "dog", "cow"]).find(answer), Negated, "{answer}");
    }
    animals(&[
        ("not a cat but a dog", Within(1)),
        ("a cat, not a dog", Within(0)),
        ("It is a cat and not a dog.", Within(0)),
        ("This is not a dog. It is a cat.", Within(0)),
        ("It is not 2. A dog.", Within(1)),
        ("not a pet, e.g. a dog", Negated),
        ("Not a dog, a cat.", Within(0)),
        ("No, it's a dog", Within(1)),
        ("It's not a dog, it's a cat", Within(0)),
        ("a cat rather than a dog", Within(0)),
        ("a cat instead of a dog", Within(0)),
        ("instead of a dog, it is a cat", Within(0)),
        ("a cat (not a dog) on a sofa", Within(0)),
        ("It is a dog, without a doubt.", Within(1)),
        ("There is no doubt: a dog", Within(1)),
        ("nothing but a dog", Within(1)),
        ("not only a cat but also a dog", AnyOf(vec![0, 1])),
        ("It may be a cat or a dog, but I'm not sure.", AnyOf(vec![0, 1])),
        ("a dog that is not on a leash", Within(1)),
        ("cat: no, dog: yes", Within(1)),
        ("Is it a dog? It is a cat.", Within(0)),
        ("A dog? No.", Nothing),
        ("Is this a dog?", Nothing),
        ("I have no idea", Nothing),
    ]);
}

#[test]
fn a_class_whose_name_begins_with_a_negation_is_still_that_class() {
    let all = of(&["no entry", "not a number", "stop", "no", "yes"]);
    for (answer, expected) in [
        ("no entry", Named(0)),
        ("a no-entry sign", Within(0)),
        ("It is not a number.", Within(1)),
        ("This is no stop sign", Negated),
        ("not a no entry sign", Negated),
        ("No", Named(3)),
        ("No, there is none.", Within(3)),
        ("Yes, there is no doubt.", Within(4)),
    ] {
        assert_eq!(all.find(answer), expected, "{answer}");
    }
}

#[test]
fn an_answer_that_names_several_classes_leaves_them_all_open_unless_they_are_too_many() {
    for answer in
        ["cat or dog", "either a cat or a dog", "cat, dog", "Dog/Cat", "cats and dogs", "[\"dog\", \"cat\"]"]
    {
        animals(&[(answer, AnyOf(vec![0, 1]))]);
    }
    animals(&[("cat, dog or cow", AnyOf(vec![0, 1, 2])), ("1 or 2", AnyOf(vec![1, 2]))]);
    let all = of(&["cat", "dog", "cow", "hen", "pig", "ram", "fox", "owl", "bee", "ant"]);
    assert_eq!(all.find("cat, dog, cow or hen"), AnyOf(vec![0, 1, 2, 3]));
    assert_eq!(all.find("cat, dog, cow, hen or pig"), Several);
    assert_eq!(of(&["cat", "dog", "cow", "hen", "pig"]).find("cat, dog or cow"), Several);
}

#[test]
fn plurals_mean_the_class_unless_another_one_is_called_so() {
    let all =
        of(&["sandal", "box", "berry", "dress", "shorts", "T-shirt/top", "ankle boot", "glass", "glasses"]);
    for (answer, class) in [
        ("two sandals", 0),
        ("Wooden boxes.", 1),
        ("some berries", 2),
        ("red dresses", 3),
        ("t-shirts, folded", 5),
        ("Ankle boots, worn", 6),
        ("a pair of glasses", 8),
        ("a glass", 7),
    ] {
        assert_eq!(all.find(answer), Within(class), "{answer}");
    }
    for (answer, class) in [("Sandals", 0), ("BERRIES", 2), ("glasses", 8), ("short", 4), ("ankle-boots", 6)]
    {
        assert_eq!(all.find(answer), Named(class), "{answer}");
    }
    for answer in ["a short thing", "the sandal's", "a dresser", "a boxer's"] {
        let expected = if answer == "the sandal's" { Nothing } else { all.find(answer) };
        assert_eq!(expected, Nothing, "{answer}");
    }
}

#[test]
fn numbers_are_places_in_the_list_however_they_are_marked() {
    for answer in [
        "Class 2",
        "class: 2",
        "2)",
        "2.",
        "(2)",
        "Option 2",
        "#2",
        "[2]",
        "2",
        " 2 ",
        "**2**",
        "The answer is 2.",
        "Answer: 2",
        "Label 2.",
        "２",
        "№ 2",
        "{\"class\": 2}",
    ] {
        animals(&[(answer, Named(2))]);
    }
    animals(&[
        ("2. cow", Within(2)),
        ("(1) dog", Within(1)),
        ("Class 1 (dog)", Within(1)),
        ("2. dog", Contradiction),
        ("class 7: dog", Contradiction),
        ("2 dogs", Within(1)),
        ("a dog with 4 legs", Within(1)),
        ("dog (0.92)", Within(1)),
        ("not class 2", Nothing),
        ("2nd", Nothing),
        ("-1", Nothing),
        ("class 3", Nothing),
        ("0.5", Nothing),
        ("10-1", Nothing),
    ]);
    let named = of(&["class 1", "class 2", "class 3"]);
    for answer in ["2", "Class 2", "class: 2", "Option 2"] {
        assert_eq!(named.find(answer).classes(), [1], "{answer}");
    }
}

#[test]
fn marks_around_an_answer_are_no_part_of_it() {
    for answer in
        ["Answer: dog", "The answer is **dog**.", "Label = dog", "\\boxed{dog}", "<answer>dog</answer>"]
    {
        animals(&[(answer, Within(1))]);
    }
    for answer in [
        "**dog**",
        "`dog`",
        "\"dog\"",
        "“Dog.”",
        "{\"class\": \"dog\"}",
        "{\"answer\": \"Dog\"}",
        "```json\n{\"label\": \"dog\", \"not\": \"cat\"}\n```",
        "{'class': 'dog'}",
        "[\"dog\"]",
        "Here: {\"class_name\": \"dog\"}",
    ] {
        animals(&[(answer, Named(1))]);
    }
    animals(&[
        ("{\"class\": null}", Nothing),
        ("{\"cat\": 0.1, \"dog\": 0.9}", Nothing),
        ("{\"class\": \"not a dog\"}", Negated),
    ]);
}

#[test]
fn classes_are_found_in_scripts_without_blanks_and_so_are_negations() {
    let all = of(&["猫", "狗", "大熊猫", "ネコ", "犬", "แมว", "หมา", "シャツ", "Tシャツ", "고양이", "개"]);
    for (answer, class) in [
        ("这是一只猫。", 0),
        ("这是大熊猫", 2),
        ("不是猫，是狗。", 1),
        ("不是猫而是狗", 1),
        ("没有猫。这是狗", 1),
        ("これはネコです。", 3),
        ("猫ではなく犬です", 4),
        ("นี่คือแมว", 5),
        ("ไม่ใช่แมว แต่เป็นหมา", 6),
        ("白いTシャツ", 8),
        ("白いシャツです", 7),
        ("이것은 고양이입니다.", 9),
        ("고양이가 아니라 개입니다", 10),
        ("犬かもしれない", 4),
        ("这毫无疑问是猫", 0),
        ("ﾈｺです", 3),
    ] {
        assert_eq!(all.find(answer), Within(class), "{answer}");
    }
    for answer in [
        "这不是猫",
        "图中没有狗。",
        "猫不在这里",
        "猫ではない。",
        "犬じゃない",
        "犬はいません",
        "ไม่ใช่แมว",
        "고양이가 아닙니다",
        "没有猫、狗",
    ] {
        assert_eq!(all.find(answer), Negated, "{answer}");
    }
    assert_eq!(all.find("猫或狗"), AnyOf(vec![0, 1]));
    for answer in ["ネコバス", "개구리", "不知道"] {
        assert_eq!(all.find(answer), Nothing, "{answer}");
    }
}

#[test]
fn composition_and_width_do_not_count_and_case_only_where_names_differ_in_it() {
    let all = of(&["café", "A", "a", "B"]);
    assert_eq!(
        [all.find("cafe\u{301}"), all.find("in a cafe\u{301}."), all.find("ＣＡＦÉ")],
        [Named(0), Within(0), Named(0)]
    );
    assert_eq!(
        [all.find("A"), all.find("a"), all.find("ａ"), all.find("The letter is A.")],
        [Named(1), Named(2), Several, Within(1)]
    );
    assert_eq!([all.find("This is a B."), all.find("a café")], [Within(3), Within(0)]);
    let alike = of(&["T shirt", "t-shirt", "x"]);
    assert_eq!(
        [alike.find("T shirt"), alike.find("t-shirt"), alike.find("TSHIRT")],
        [Named(0), Named(1), Several]
    );
    assert_eq!([alike.find("a t-shirt, red"), alike.find("a T-Shirt, red")], [Within(1), Several]);
}

#[test]
fn a_name_of_one_sign_is_not_found_within_a_longer_word() {
    let all = of(&["猫", "狗", "牛", "熊猫"]);
    for answer in ["猫头鹰", "这是一只猫头鹰。", "热狗", "一只海狗", "狗熊", "牛奶", "子猫です"]
    {
        assert_eq!(all.find(answer), Nothing, "{answer}");
    }
    for (answer, class) in [
        ("图片中有一只猫。", 0),
        ("白色的狗在草地上", 1),
        ("三头牛", 2),
        ("大熊猫在吃竹子", 3),
        ("猫です", 0),
        ("答案：狗", 1),
    ] {
        assert_eq!(all.find(answer), Within(class), "{answer}");
    }
    assert_eq!(all.find("猫和狗"), AnyOf(vec![0, 1]));
    assert_eq!(of(&["猫", "狗"]).find("大熊猫"), Nothing);
    assert_eq!(of(&["お", "は"]).find("これはおです"), Nothing);
    assert_eq!(of(&["お", "は"]).find("これは「お」です"), Within(0));
}

#[test]
fn thoughts_and_reasons_before_the_answer_do_not_count() {
    animals(&[
        ("<think>It may be a cat.</think> dog", Named(1)),
        ("<think>It may be a cat.</think> It is a dog.", Within(1)),
        ("It may be a cat.</think>\n\n{\"class\": \"dog\"}", Named(1)),
        ("<think>It may be a cat", Nothing),
        ("Reasoning: a cat has whiskers. Answer: dog", Within(1)),
        ("A cat? Final answer: dog", Within(1)),
        ("It looks like a cat.\n\n**Answer:** dog", Within(1)),
        ("It is not a cat, so the answer is dog", Within(1)),
        ("A cat has whiskers. Answer: 1", Named(1)),
        ("A cat has whiskers. Answer: not a dog", Negated),
        ("I doubt that the answer is dog", Negated),
        ("It may be a cat. Answer: unknown", Nothing),
        ("It is a cat. That is the answer: I am sure.", Within(0)),
    ]);
    assert_eq!(of(&["none", "dog"]).find("A dog? Answer: none."), Within(0));
}

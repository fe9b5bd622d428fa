//! Whether a name of one sign, in a script without blanks between words, is a word where it stands.
//!
//! Such scripts put words together: a panda (熊猫) is no cat (猫). Without a dictionary, a name of one sign counts only
//! between words that serve grammar, or where the run of signs ends: a lost vote is better than a wrong one. It knows
//! nothing of files or images.

use super::words::{is_katakana, is_unspaced};

/// Signs of Chinese that may stand before a noun.
const BEFORE: &str = "是的一两兩这這那有和或与與及跟了在到为為即非无無没沒看见見";

/// Words that count things, which stand before a noun if a number or the like stands before them.
const MEASURES: &str = "\
    只隻个個张張条條头頭幅片匹辆輛朵棵件双雙座位种種架艘本名群颗顆块塊根顶頂部间間栋棟枚杯碗瓶盘盤把对對副套台株\
    口面粒串支";

/// What may stand before a word that counts.
const NUMBERS: &str = "一二三四五六七八九十百千两兩几幾半这這那某每该該是有了0123456789０１２３４５６７８９";

/// Signs of Chinese that may stand after a noun.
const AFTER: &str = "的是和或与與及跟了在有不没沒而但却卻也都就还還很正吗嗎呢吧啊呀等这這那因并並";

/// What may stand after a noun in Japanese.
const AFTER_JAPANESE: [&str; 28] = [
    "です",
    "でし",
    "だ",
    "では",
    "でな",
    "であ",
    "でも",
    "で、",
    "は",
    "が",
    "を",
    "に",
    "へ",
    "と",
    "の",
    "も",
    "や",
    "か",
    "じゃな",
    "じゃあ",
    "じゃん",
    "なの",
    "なら",
    "らし",
    "みた",
    "より",
    "しか",
    "という",
];

/// Words of Japanese that begin with such and are part of a longer noun.
const LONGER_JAPANESE: [&str; 3] = ["かき", "かぶ", "もど"];

/// Whether a name of this one sign is a word between what is before and after it.
pub(super) fn is_word(before: &str, sign: char, after: &str) -> bool {
    // A word in katakana is a run of them, which is looked at elsewhere.
    if is_katakana(sign) {
        return true;
    }
    let last = before.chars().next_back().filter(|c| is_unspaced(*c));
    let next = after.chars().next().filter(|c| is_unspaced(*c));
    if !is_han(sign) {
        return last.is_none() && next.is_none();
    }
    let begins = last.is_none_or(|last| {
        let further = before.chars().rev().nth(1);
        let counted = MEASURES.contains(last) && further.is_some_and(|c| NUMBERS.contains(c));
        BEFORE.contains(last) || counted || !is_han(last)
    });
    let ends = next.is_none_or(|next| {
        let japanese = || {
            AFTER_JAPANESE.iter().any(|word| after.starts_with(word))
                && !LONGER_JAPANESE.iter().any(|word| after.starts_with(word))
        };
        if is_han(next) { AFTER.contains(next) } else { !is_hiragana(next) || japanese() }
    });
    begins && ends
}

fn is_han(c: char) -> bool {
    is_unspaced(c)
        && !is_katakana(c)
        && !is_hiragana(c)
        && !matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

fn is_hiragana(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{309f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_a_word_between_words_of_grammar_and_at_the_end_of_a_run() {
        for (before, sign, after) in [
            ("", '猫', ""),
            ("这是一只", '猫', "。"),
            ("白色的", '狗', "在草地上"),
            ("三条", '狗', ""),
            ("3头", '牛', ""),
            ("これは", '犬', "です"),
            ("白い", '犬', "じゃない"),
            ("「", 'き', "」"),
        ] {
            assert!(is_word(before, sign, after), "{before}{sign}{after}");
        }
        for (before, sign, after) in [
            ("熊", '猫', ""),
            ("", '猫', "头鹰"),
            ("一只", '猫', "头鹰"),
            ("热", '狗', ""),
            ("海", '狗', ""),
            ("", '狗', "熊"),
            ("口", '水', ""),
            ("子", '猫', "です"),
            ("", '犬', "かき"),
            ("", '猫', "じゃらし"),
            ("これ", 'は', "です"),
        ] {
            assert!(!is_word(before, sign, after), "{before}{sign}{after}");
        }
    }
}

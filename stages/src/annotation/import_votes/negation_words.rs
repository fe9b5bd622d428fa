//! Words and signs that say what is not there, and those that end or undo that.
//!
//! Lists are separated by blanks, those of several words by commas. They are of the languages in which people and models
//! answer; a language that is not here has no negation that is seen. It knows nothing of files or images.

/// Whether a word is in a list.
pub(super) fn among(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// Words that negate what follows.
pub(super) const NEGATORS: &str = "\
    not no never neither nor without none nothing nobody cannot cant isnt arent wasnt werent dont \
    doesnt didnt wont wouldnt couldnt shouldnt hasnt havent hadnt aint lack lacks lacking absence \
    except excluding excludes exclude unlike unlikely hardly doubt doubtful impossible nope rules ruled \
    incorrect wrong false kein keine keinen keinem keiner keines nicht ohne weder noch nein pas sans ni \
    aucun aucune jamais sin ningun ningún ninguna nunca tampoco non senza nessun nessuna né nao não nem \
    sem nenhum nenhuma niet geen zonder inte ingen utan ikke uden не нет без";

/// Words that negate with the one after them.
pub(super) const NEGATING_PAIRS: &str = "\
    instead of, rather than, other than, anything but, everything but, far from, rule out, ruling out, \
    as opposed, different from, free of";

/// Words that look like a negation and are none.
pub(super) const AFFIRMED: &str = "\
    no doubt, without doubt, without a doubt, without any doubt, no question, without question, \
    not only, not just, not merely, isnt only, isnt just, nothing but, nothing else but, \
    none other than, no other than";

/// Words that negate what stands just before them: the dog is absent.
pub(super) const AFTER: &str = "\
    absent missing wrong incorrect excluded unlikely impossible false yok değil no invisible";

/// Words that may stand between a class and its negation: the dog is not there.
pub(super) const AUXILIARIES: &str = "\
    is are was were be been can could does do did will would has have had should may might seems \
    appears looks also ist sind est es definitely";

/// Words after which a negation is over.
pub(super) const ENDERS: &str = "\
    but however instead rather sondern aber mais pero sino maar но а nonetheless";

/// Words that begin a new clause after a comma or an "and".
pub(super) const STARTERS: &str = "\
    it its this that thats these those i id im ill there theres they we he she maybe perhaps probably \
    possibly likely definitely clearly just only more most es das ich cest je это son see";

/// Single words that, within a sentence, are rarely the class that is called so.
pub(super) const COMMON: &str = "\
    a an i the it is are in on of at to and or be no not none neither nor never nothing without as so \
    do my me we he she they this that with for by if but can was from has you";

/// Words before which a common word is the name of a class: the letter A.
pub(super) const NAMING: &str = "\
    letter class label option answer character sign category choice grade type";

/// Signs of Chinese, Thai, Lao and Khmer that negate what follows.
pub(super) const NEGATING_SIGNS: &str = "\
    没有 沒有 并非 並非 不 没 沒 无 無 非 ไม่ ບໍ່ មិន";

/// Such signs that look like a negation and are none.
pub(super) const AFFIRMED_SIGNS: &str = "\
    不仅 不僅 不只 不但 无疑 無疑 非常 毫无疑 毫無疑 没问题 不同 不错";

/// Signs after which a negation is over.
pub(super) const ENDING_SIGNS: &str = "\
    而是 而 但 可是 只有 不过 不過 แต่ 只是";

/// Signs that begin a new clause after a comma.
pub(super) const STARTING_SIGNS: &str = "\
    是 而 但 这 這 那 它 只 有 我 应 應 看 可 图 圖 画 畫 应该";

/// Signs of Japanese and Burmese that negate what came before them.
pub(super) const SIGNS_AFTER: &str = "\
    ない なく なし なかっ ません 無し မဟုတ် မရှိ";

/// What before such signs makes them none: perhaps, surely.
pub(super) const DOUBLE_NEGATIONS: &str = "\
    しれ 違い ちがい 間違い";

/// Beginnings of Korean words that negate what came before them.
pub(super) const KOREAN_AFTER: &str = "\
    아니 아닙 아닌 없";

/// Words that a question begins with.
pub(super) const ASKING: &str = "\
    is are was were does do did can could has have what which who would should";

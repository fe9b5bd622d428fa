//! The text tower with learned vectors in the place of a prompt's words (CoOp; Zhou et al. 2022): context vectors and
//! class names to text features, with gradients by the context.
//!
//! A prompt is \[start mark\] v₁ … v_M, the name, a full stop, \[end mark\]. The tower's weights and the embeddings
//! of words are constants. All prompts are as long as the longest: under the causal mask nothing after its end mark
//! counts for a prompt.

use candle_core::{DType, Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::config::Config;
use super::files::ClipFiles;
use super::tokenizer::TokenizedText;
use super::{TextEncoder, cannot_encode};

/// The text tower in f32, and what it needs to be given vectors in the place of words.
pub struct PromptTower {
    clip: TextEncoder,
    /// Longest token sequence.
    positions: usize,
    hidden: usize,
}

/// The prompts of some classes, with room for a context.
pub struct Prompts {
    /// Length of the context, M.
    context: usize,
    /// Embedding of the start mark, (1, 1, hidden).
    start: Tensor,
    /// Embeddings of what follows the context, (wordings, length − 1 − M, hidden).
    rest: Tensor,
    /// Which token of each prompt carries its feature.
    pooled: Vec<usize>,
    /// 1 where a wording is one of a class, (classes, wordings); none where every class has one.
    by_class: Option<Tensor>,
    /// Names, each with its full stop, that were cut because CLIP reads no longer prompts.
    pub cut: Vec<String>,
}

impl PromptTower {
    /// Reads the text tower into the memory of `device`.
    ///
    /// # Errors
    /// As [`TextEncoder::load`].
    pub fn load(files: &ClipFiles, device: &Device) -> Result<Self> {
        let text = Config::read(&files.config)?.text;
        let clip = TextEncoder::load(files, device, DType::F32)?;
        Ok(Self { clip, positions: text.positions, hidden: text.tower.hidden })
    }

    /// Length of a context vector.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Length of a feature, P.
    pub fn width(&self) -> usize {
        self.clip.width
    }

    /// The embeddings of a text's words, without marks: (M, hidden).
    ///
    /// # Errors
    /// A tokenizer without marks.
    pub fn words(&self, text: &str) -> Result<Tensor> {
        let mut ids: Vec<u32> = Vec::new();
        for tokens in self.clip.tokenizer.tokenize(&[text])? {
            let (_, words, _) = parts(&tokens)?;
            ids.extend(words);
        }
        self.clip.tower.embed(ids).or_fail(cannot_encode)
    }

    /// The prompts of classes, each with one name or several, for contexts of `context` vectors.
    ///
    /// # Errors
    /// A context that leaves no room for a name, a tokenizer without marks, no class at all.
    pub fn prompts<S: AsRef<str>>(&self, classes: &[Vec<S>], context: usize) -> Result<Prompts> {
        // At least a token of the name, the full stop and the end mark.
        let room = self.positions.saturating_sub(1 + context);
        if room < 3 {
            let most = self.positions.saturating_sub(4);
            return Err(Error::new(format!(
                "a context of {context} vectors leaves no room for a class: this CLIP reads {} tokens",
                self.positions
            ))
            .help(format!("take at most {most} vectors")));
        }
        let names: Vec<String> = classes.iter().flatten().map(|name| format!("{}.", name.as_ref())).collect();
        let (mut first, mut rests, mut cut) = (0, Vec::new(), Vec::new());
        for (name, tokens) in names.iter().zip(self.clip.tokenizer.tokenize(&names)?) {
            let (start, words, end) = parts(&tokens)?;
            first = start;
            let kept = words.len().min(room - 1);
            if kept < words.len() {
                cut.push(name.clone());
            }
            rests.push([&words[..kept], &[end]].concat());
        }
        let (count, longest) = (rests.len(), rests.iter().map(Vec::len).max().unwrap_or(0));
        if count == 0 {
            return Err(Error::new("there is no class to make prompts of"));
        }
        let pooled = rests.iter().map(|rest| context + rest.len()).collect();
        let filled = rests.iter().flat_map(|rest| {
            let nothing = std::iter::repeat(0);
            rest.iter().copied().chain(nothing).take(longest)
        });
        let ids: Vec<u32> = filled.collect();
        let embedded = || {
            let start = self.clip.tower.embed(vec![first])?.reshape((1, 1, self.hidden))?;
            let rest = self.clip.tower.embed(ids)?.reshape((count, longest, self.hidden))?;
            candle_core::Result::Ok((start, rest, self.by_class(classes)?))
        };
        let (start, rest, by_class) = embedded().or_fail(cannot_encode)?;
        Ok(Prompts { context, start, rest, pooled, by_class, cut })
    }

    fn by_class<S>(&self, classes: &[Vec<S>]) -> candle_core::Result<Option<Tensor>> {
        if classes.iter().all(|names| names.len() == 1) {
            return Ok(None);
        }
        let names: Vec<usize> =
            classes.iter().enumerate().flat_map(|(class, names)| vec![class; names.len()]).collect();
        let rows = (0..classes.len()).flat_map(|class| names.iter().map(move |of| f32::from(*of == class)));
        let (rows, shape): (Vec<f32>, _) = (rows.collect(), (classes.len(), names.len()));
        Tensor::from_vec(rows, shape, &self.clip.place.device).map(Some)
    }

    /// Features (classes, P) of unit length in f32, with the `context` (M, hidden) in every prompt. A class of
    /// several names stands where the mean of their features points. Where `context` is a variable, it has a
    /// gradient.
    ///
    /// # Errors
    /// A context of another shape than the prompts are made for; no memory.
    pub fn features(&self, prompts: &Prompts, context: &Tensor) -> candle_core::Result<Tensor> {
        let (count, _, hidden) = prompts.rest.dims3()?;
        let start = prompts.start.broadcast_as((count, 1, hidden))?.contiguous()?;
        let context = context.unsqueeze(0)?.broadcast_as((count, prompts.context, hidden))?.contiguous()?;
        let embedded = Tensor::cat(&[&start, &context, &prompts.rest], 1)?; // (wordings, length, hidden)
        let features = unit(&self.clip.tower.forward_embedded(&embedded, &prompts.pooled)?)?;
        match &prompts.by_class {
            None => Ok(features),
            Some(by_class) => unit(&by_class.matmul(&features)?),
        }
    }
}

/// The start mark of a text, its words, and the token that carries its feature, the end mark.
fn parts(text: &TokenizedText) -> Result<(u32, &[u32], u32)> {
    match text.ids.get(..=text.pooled) {
        Some([start, words @ .., end]) => Ok((*start, words, *end)),
        _ => Err(Error::new("the tokenizer puts no start mark before a text")
            .help("a prompt can be learned for CLIPs whose texts begin and end with a mark, as OpenAI's")),
    }
}

/// The rows of x (rows, width), each divided by its length, with gradients. A row without a length stays 0.
fn unit(x: &Tensor) -> candle_core::Result<Tensor> {
    // Far below any feature's length, and no root of 0, whose slope is infinite.
    let lengths = (x.sqr()?.sum_keepdim(1)? + 1e-24)?.sqrt()?;
    x.broadcast_div(&lengths)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use candle_core::Var;
    use pipeline::random;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::clip::TokenizerFiles;
    use crate::dataset::demo;

    /// Classes of the demo: of one token and of two, and one with two wordings.
    const CLASSES: [&str; 4] = ["forest", "residential area", "lake", "road"];

    fn demo_clip() -> ClipFiles {
        let [(_, config), (_, weights), (_, tokenizer)] = demo::clip_files();
        ClipFiles { config, tokenizer: TokenizerFiles::Whole(tokenizer), weights, preprocessor: None }
    }

    fn numbers(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn gap(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Normal numbers of standard deviation 1, another lot for each name.
    fn normal(shape: (usize, usize), name: &str) -> Tensor {
        let mut rng = random::stream(0, name);
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| StandardNormal.sample(&mut rng)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_context_of_words_gives_the_features_of_the_text_with_these_words() {
        let golden = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden").join(name);
            ClipFiles::in_folder(&folder).unwrap()
        };
        for files in [demo_clip(), golden("quick"), golden("gelu")] {
            let tower = PromptTower::load(&files, &Device::Cpu).unwrap();
            let texts = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
            let context = tower.words("a photo of a").unwrap();
            let classes = CLASSES.map(|name| vec![name]);
            let prompts = tower.prompts(&classes, context.dim(0).unwrap()).unwrap();
            let wanted = texts.encode(&CLASSES.map(|name| format!("a photo of a {name}."))).unwrap();
            // As a constant and as a variable, whose values take another way to the same.
            let var = Var::from_tensor(&context).unwrap();
            for context in [&context, var.as_tensor()] {
                let found = tower.features(&prompts, context).unwrap();
                assert!(gap(&found, &wanted) < 1e-5, "{}", gap(&found, &wanted));
            }
        }
    }

    #[test]
    fn a_class_of_several_names_stands_at_the_unit_vector_along_their_mean() {
        let tower = PromptTower::load(&demo_clip(), &Device::Cpu).unwrap();
        let context = normal((4, tower.hidden()), "context").affine(0.02, 0.0).unwrap();
        let features = |classes: &[Vec<&str>]| {
            let prompts = tower.prompts(classes, 4).unwrap();
            tower.features(&prompts, &context).unwrap()
        };
        let alone = features(&[vec!["forest"], vec!["lake"], vec!["residential area"]]);
        let found = features(&[vec!["forest"], vec!["lake", "residential area"]]);
        let both = (alone.get(1).unwrap() + alone.get(2).unwrap()).unwrap();
        let length = both.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        assert!(gap(&found.get(1).unwrap(), &both.broadcast_div(&length).unwrap()) < 1e-6);
        assert!(gap(&found.get(0).unwrap(), &alone.get(0).unwrap()) < 1e-6);
    }

    #[test]
    fn the_gradient_by_the_context_is_that_of_finite_differences() {
        let tower = PromptTower::load(&demo_clip(), &Device::Cpu).unwrap();
        let classes = [vec!["forest"], vec!["residential area"], vec!["lake", "river"]];
        let prompts = tower.prompts(&classes, 4).unwrap();
        let weights = normal((3, tower.width()), "weights");
        let scalar = |context: &Tensor| {
            (tower.features(&prompts, context).unwrap() * &weights).unwrap().sum_all().unwrap()
        };
        for (start, scale) in [("small", 0.02), ("large", 0.1)] {
            let context = normal((4, tower.hidden()), start).affine(scale, 0.0).unwrap();
            let var = Var::from_tensor(&context).unwrap();
            let gradient = scalar(var.as_tensor()).backward().unwrap().get(&var).unwrap().clone();
            for direction in 0..5 {
                let towards = normal((4, tower.hidden()), &format!("direction {direction}"));
                let length = towards.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
                let towards = towards.broadcast_div(&length).unwrap();
                let step = 0.01;
                let at = |step: f64| {
                    let moved = (&context + (&towards * step).unwrap()).unwrap();
                    f64::from(scalar(&moved).to_scalar::<f32>().unwrap())
                };
                let found = (at(step) - at(-step)) / (2.0 * step);
                let slope = (&gradient * &towards).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                let gap = (found - f64::from(slope)).abs();
                assert!(gap < 0.01 * found.abs() + 0.003, "{start}: {found} against {slope}");
            }
        }
    }

    #[test]
    fn a_name_too_long_for_the_room_behind_the_context_is_cut_and_told() {
        let tower = PromptTower::load(&demo_clip(), &Device::Cpu).unwrap();
        let long = "forest and lake and river and road and trees";
        let classes = [vec![long], vec!["forest"], vec!["a forest and lake and river"]];
        // 24 tokens: the start mark, 16 vectors, 6 words, the end mark.
        let prompts = tower.prompts(&classes, 16).unwrap();
        assert_eq!(prompts.cut, [format!("{long}."), "a forest and lake and river.".to_owned()]);
        let context = normal((16, tower.hidden()), "context");
        let features = tower.features(&prompts, &context).unwrap();
        assert_eq!(features.dims(), [3, tower.width()]);
        let uncut = tower.prompts(&[vec!["forest"]], 16).unwrap();
        assert!(uncut.cut.is_empty());
        let alone = tower.features(&uncut, &context).unwrap();
        assert!(gap(&features.get(1).unwrap(), &alone.get(0).unwrap()) < 1e-5);
        let error = tower.prompts(&[vec!["forest"]], 21).map(|prompts| prompts.cut).unwrap_err().to_string();
        assert!(error.contains("24 tokens") && error.contains("at most 20"), "{error}");
    }
}

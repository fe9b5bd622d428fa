//! Warm-up (method §4): both networks, separately, learn from the candidate sets as they are.

use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::{Context, Resources, Stage};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::ahead::ahead;
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::{Epoch, Pair, WarmedUp};
use crate::checkpoint;
use crate::co_reg::NETWORKS;
use crate::co_reg::losses::{negative_entropy, partial_cross_entropy};
use crate::device::Place;
use crate::learner::{Learner, Optimizer, predict};
use crate::network::{Architecture, Pass};
use crate::tally::Tally;
use crate::training_set::{Input, TrainingSet, accuracy, argmax_rows};
use crate::vision::{Draw, View, Views};

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// Epochs \[P, by data set\].
    pub epochs: usize,
    /// Images a step \[I\].
    pub batch: usize,
    /// Seed of weights, order and views.
    pub seed: u64,
    /// The optimizer and its schedule.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the networks look like.
    pub architecture: Architecture,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Stage for WarmUp {
    type Inputs = (Images, Labels);
    type Output = WarmedUp;
    const NAME: &'static str = "warm-up";
    const VERSION: u32 = 2;

    fn resources(&self) -> Resources {
        self.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.architecture.validate()?;
        self.input.views()?;
        self.optimizer.check()?;
        if self.epochs == 0 || !(2..=1 << 16).contains(&self.batch) {
            return Err(Error::new(format!(
                "{} epochs of batch {} are no training",
                self.epochs, self.batch
            ))
            .help("set warm-up.epochs ≥ 1 and warm-up.batch between 2 and 65536"));
        }
        self.place.device().map(drop)
    }

    fn run(
        &self,
        (images, labels): <Self::Inputs as pipeline::stage::Inputs>::Loaded,
        context: &Context,
    ) -> Result<WarmedUp> {
        let set = TrainingSet::new(&images, &labels, &self.input, context)?;
        let device = self.place.device()?;
        let views = self.input.views()?;
        let new = |name| {
            Learner::new(&self.architecture, &self.optimizer, self.seed, name, &device)
                .or_fail(|| Error::new("cannot make the network"))
        };
        let mut learners = [new(NETWORKS[0])?, new(NETWORKS[1])?];
        let mut history: Vec<Epoch> = Vec::new();
        let mut first = 0;
        if let Some((state, rows)) = checkpoint::load::<Vec<Epoch>>(context) {
            let restored = (learners.iter_mut().zip(NETWORKS))
                .try_for_each(|(learner, name)| learner.load_state(&checkpoint::part(&state, name)));
            match restored {
                Ok(()) => {
                    first = rows.last().map_or(0, |row| row.epoch as usize);
                    history = rows;
                }
                Err(error) => {
                    context.progress().note(format!("the checkpoint does not fit, starting afresh: {error}"));
                    learners = [new(NETWORKS[0])?, new(NETWORKS[1])?];
                }
            }
        }
        context.progress().begin(self.epochs as u64, "epochs");
        context.progress().advance(first as u64);
        for epoch in first..self.epochs {
            for (n, learner) in learners.iter_mut().enumerate() {
                history.push(self.epoch(epoch, n, learner, &set, &views, context)?);
            }
            let states =
                NETWORKS.into_iter().zip(&learners).map(|(name, learner)| Ok((name, learner.state()?)));
            let states = states.collect::<candle_core::Result<Vec<_>>>();
            let states = states.or_fail(|| Error::new("cannot copy the networks"))?;
            checkpoint::save(context, &checkpoint::join(states), &history)?;
            context.progress().advance(1);
            context.progress().note(describe(&history));
        }
        Ok(WarmedUp { pair: Pair::of(&learners)?, history })
    }
}

/// The last epoch in a line.
fn describe(history: &[Epoch]) -> String {
    let last = &history[history.len().saturating_sub(2)..];
    let both =
        |name: &str| last.iter().filter_map(|row| row.values.get(name)).sum::<f64>() / last.len() as f64;
    let mut line = format!("epoch {}: loss {:.3}", last.last().map_or(0, |row| row.epoch), both("loss"));
    if last.iter().any(|row| row.values.contains_key("accuracy_test")) {
        line += &format!(", test accuracy {:.1} %", 100.0 * both("accuracy_test"));
    }
    line
}

impl WarmUp {
    fn epoch(
        &self,
        epoch: usize,
        n: usize,
        learner: &mut Learner,
        set: &TrainingSet,
        views: &Views,
        context: &Context,
    ) -> Result<Epoch> {
        let name = format!("warm-up/{}", NETWORKS[n]);
        let mut samples: Vec<usize> = (0..set.len()).collect();
        samples.shuffle(&mut random::stream(self.seed, &format!("{name}/order/epoch{epoch}")));
        let draw = |step| Draw::new(self.seed, &format!("{name}/views"), epoch as u64, step);
        let rate = self.optimizer.rate(epoch);
        let device = learner.network.device().clone();
        let batches: Vec<&[usize]> = samples.chunks(self.batch).collect();
        let failed = |step| Error::new(format!("epoch {}, network {}, step {step} failed", epoch + 1, n + 1));
        let mut tally = Tally::default();
        ahead(
            batches.len(),
            2,
            |step| views.batch(&set.train, batches[step], View::Strong, &draw(step as u64)),
            |step, x| {
                context.safe_point()?;
                let mut train = || {
                    let x = x.to_device(&device)?; // (B, H, W, channels)
                    let logits = learner.network.forward(&x, Pass::Train)?.logits; // (B, C)
                    let candidates = set.candidate_masks(batches[step], &device)?;
                    let partial = partial_cross_entropy(&logits, &candidates)?;
                    let negative_entropy = negative_entropy(&logits)?;
                    let loss = (&partial + &negative_entropy)?;
                    learner.step(&loss, rate)?;
                    let terms = [
                        ("loss", loss),
                        ("loss_partial", partial),
                        ("loss_negative_entropy", negative_entropy),
                    ];
                    Ok(terms.map(|(name, term)| (name, term.detach())))
                };
                let terms = train().map_err(|e: candle_core::Error| failed(step).because(e))?;
                tally.add(terms.into());
                Ok(())
            },
        )?;
        let again = |step| Draw::new(self.seed, &format!("{name}/recalibrate"), epoch as u64, step);
        learner.recalibrate(&set.train, views, self.optimizer.recalibrate, again, context)?;
        let classes_of = |pixels| {
            predict(&learner.network, pixels, views, View::Plain, draw, context)
                .map(|probs| argmax_rows(&probs, set.classes))
        };
        let test = classes_of(&set.test)?;
        let mut values = vec![("learning_rate", Some(rate))];
        values.extend(tally.means(failed)?);
        values.push(("accuracy_test", accuracy(test, &set.test_truth)));
        crate::learner::finite(epoch, n, &values)?;
        let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok(Epoch { epoch: epoch as u32 + 1, network: n as u8 + 1, values })
    }
}

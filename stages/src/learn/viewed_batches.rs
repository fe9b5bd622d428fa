//! An epoch in which a network sees every sample once, in random order, each as one or more views of it; those with a
//! human label perhaps more often.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, Result};

use super::method::{Lesson, Method};
use super::train::Training;
use super::training_set::TrainingSet;
use crate::vision::{Draw, View, Views};

/// The steps of one network's epoch.
pub struct ViewedBatches<'a> {
    set: &'a TrainingSet,
    views: Views,
    kinds: Vec<View>,
    batches: Vec<Vec<usize>>,
    /// The random numbers of each view of each step.
    draws: Vec<Vec<Draw>>,
}

impl<'a> ViewedBatches<'a> {
    /// Those of `samples` whose turn it is, in random order, `batch` a step, each as every one of `kinds`. Views of one
    /// kind differ: each has random numbers of its own. Further samples with a human label join a step that has few of
    /// them, so that it may hold a sample twice.
    pub fn new<M: Method>(
        training: &Training<'a, M>,
        network: usize,
        samples: &[usize],
        batch: usize,
        kinds: &[View],
    ) -> Self {
        let stream = format!("{}/{}/order/epoch{}", M::NAME, M::NETWORKS[network], training.epoch);
        let order = training.in_turn(network, &stream, samples);
        let batches = order.chunks(batch.max(1)).map(<[usize]>::to_vec);
        let batches = training.with_human_labels(network, batches);
        let purpose = |at: usize| if at == 0 { "views".to_owned() } else { format!("views{}", at + 1) };
        let of_view = (0..kinds.len()).map(|at| training.draws(network, &purpose(at)));
        let of_view: Vec<_> = of_view.collect();
        let draws =
            (0..batches.len() as u64).map(|step| of_view.iter().map(|draw| draw(step)).collect()).collect();
        Self { set: training.set, views: training.views.clone(), kinds: kinds.to_vec(), batches, draws }
    }

    /// The samples of a step: (B).
    pub fn samples(&self, step: usize) -> &[usize] {
        &self.batches[step]
    }
}

impl Lesson for ViewedBatches<'_> {
    /// One (B, H, W, channels) a kind of view.
    type Views = Vec<Tensor>;

    fn steps(&self) -> usize {
        self.batches.len()
    }

    fn views(&self, step: usize) -> Result<Vec<Tensor>> {
        let of_kind = self.kinds.iter().zip(&self.draws[step]);
        of_kind
            .map(|(&kind, draw)| self.views.batch(&self.set.train, &self.batches[step], kind, draw))
            .collect()
    }
}

/// The views of a step on the device where it is computed.
///
/// # Errors
/// The device runs out of memory.
pub fn on_device(views: &[Tensor], device: &Device) -> candle_core::Result<Vec<Tensor>> {
    views.iter().map(|view| view.to_device(device)).collect()
}

/// Refuses a batch that batch norm cannot work with, or that no memory holds.
///
/// # Errors
/// The batch, by the name of its setting.
pub fn check_batch(method: &str, batch: usize) -> Result<()> {
    match batch {
        2..=65_536 => Ok(()),
        _ => Err(Error::new(format!("{method}.batch = {batch} is no batch"))
            .help(format!("set {method}.batch between 2 and 65536"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::learn::optimizer::Optimizer;
    use crate::learn::train::Train;
    use crate::methods::warm_up::WarmUp;
    use crate::network::Architecture;
    use crate::vision::Pixels;

    const COUNT: usize = 100;
    const BATCH: usize = 16;
    const INPUT: &str = "size = 16\nchannels = 3\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\nflip = true\n\
                         strong = \"none\"";

    /// A hundred samples of two classes, of which a human labelled some.
    fn set(human: &[usize]) -> TrainingSet {
        TrainingSet {
            ids: (0..COUNT).map(|i| i.to_string()).collect(),
            train: Pixels::new(16, 3, vec![0; COUNT * 16 * 16 * 3]).unwrap(),
            test: Pixels::new(16, 3, Vec::new()).unwrap(),
            candidates: vec![1; 2 * COUNT],
            weights: vec![0.5; 2 * COUNT],
            annotated: vec![true; COUNT],
            single: vec![Some(0); COUNT],
            human: (0..COUNT).map(|i| human.contains(&i)).collect(),
            soft_labels: None,
            classes: 2,
            truth: vec![None; COUNT],
            test_weights: Vec::new(),
            test_annotated: Vec::new(),
            test_truth: Vec::new(),
        }
    }

    /// The samples of each step.
    fn batches(human: &[usize], human_share: f64, (network, epoch): (usize, usize)) -> Vec<Vec<usize>> {
        let stage = Train {
            method: WarmUp::default(),
            seed: 0,
            optimizer: Optimizer { human_share, ..Optimizer::default() },
            input: toml::from_str(INPUT).unwrap(),
            architecture: Architecture {
                width: 4,
                blocks: [1; 4],
                embedding: 4,
                ..Architecture::resnet18(3, 16, 2)
            },
        };
        let set = set(human);
        let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
        training.epoch = epoch;
        let all: Vec<usize> = (0..COUNT).collect();
        let made = ViewedBatches::new(&training, network, &all, BATCH, &[View::Weak]);
        (0..made.steps()).map(|step| made.samples(step).to_vec()).collect()
    }

    #[test]
    fn a_batch_has_its_share_of_human_labels_and_no_more_than_that_takes() {
        let (human, share) = ([3, 50], 0.25);
        let plain = batches(&human, 0.0, (0, 0));
        let enlarged = batches(&human, share, (0, 0));
        assert_eq!((plain.len(), plain.concat().len()), (7, COUNT));
        for (plain, enlarged) in plain.iter().zip(&enlarged) {
            let (own, further) = enlarged.split_at(plain.len());
            assert_eq!(own, plain);
            assert!(further.iter().all(|sample| human.contains(sample)), "{further:?}");
            let there = enlarged.iter().filter(|sample| human.contains(sample)).count() as f64;
            let all = enlarged.len() as f64;
            assert!(there >= share * all, "{there} of {all}");
            assert!(further.is_empty() || there - 1.0 < share * (all - 1.0), "{there} of {all}");
        }
        let drawn: Vec<usize> =
            enlarged.concat().into_iter().filter(|sample| human.contains(sample)).collect();
        assert!(human.iter().all(|sample| drawn.iter().filter(|other| *other == sample).count() > 1));
    }

    #[test]
    fn what_joins_is_drawn_anew_for_each_network_and_epoch_and_always_the_same() {
        let human: Vec<usize> = (0..20).collect();
        let further = |network: usize, epoch: usize| -> Vec<usize> {
            let plain = batches(&human, 0.0, (network, epoch));
            let enlarged = batches(&human, 0.5, (network, epoch));
            let further = |(plain, enlarged): (&Vec<usize>, &Vec<usize>)| enlarged[plain.len()..].to_vec();
            plain.iter().zip(&enlarged).flat_map(further).collect()
        };
        let first = further(0, 0);
        assert!(!first.is_empty());
        assert_eq!(further(0, 0), first);
        assert_ne!(further(1, 0), first);
        assert_ne!(further(0, 1), first);
    }

    #[test]
    fn without_human_labels_nothing_joins() {
        assert_eq!(batches(&[], 0.5, (0, 0)), batches(&[], 0.0, (0, 0)));
        assert_eq!(batches(&[], 0.5, (0, 0)), batches(&[3, 50], 0.0, (0, 0)));
    }
}

//! The constants of Co-Reg (method §§5–9), and what of them makes sense.
//!
//! \[P\], \[I\]: see docs/method.md.

use pipeline::error::Result;
use serde::{Deserialize, Serialize};

use super::divide;
use crate::learn::bounds::Bounds;
use crate::learn::contrastive::Positives;

/// What p, the other network's share of a pseudo-label on 𝒫, is made of (method §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partner {
    /// Its prediction, rescaled to the candidates: the paper's formula \[P\].
    Rescaled,
    /// Its prediction after distribution alignment, not rescaled.
    Aligned,
    /// Its prediction after distribution alignment, rescaled to the candidates: the authors' implementation
    /// \[I\]. In short runs on annotations that prefer some classes it keeps the others from vanishing.
    AlignedRescaled,
}

/// How far the squared errors on 𝒰, of L_cr and of L_prot, are averaged (method §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnlabeledError {
    /// Over samples; classes are summed \[P\].
    Sum,
    /// Over samples and classes, which is 1/C of the sum \[I\].
    Mean,
}

/// What of the network its key network takes on anew at the start of every epoch (method §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRestart {
    /// Parameters and batch norm's running statistics.
    All,
    /// Parameters \[I\].
    Parameters,
    /// Nothing: it is a moving average over the whole training \[P\].
    None,
}

/// Co-Reg with its constants. \[P\] is stated in the paper, \[I\] comes from the authors' implementation; see
/// docs/method.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoReg {
    /// Epochs after warm-up.
    pub epochs: usize,
    /// Samples of 𝒫 a step \[P\].
    pub batch_partial: usize,
    /// Samples of 𝒰 a step \[P\].
    pub batch_unlabeled: usize,
    /// An image of 𝒰 is looked at no more than so many times as often as one of 𝒫; a step then has fewer than
    /// [`batch_unlabeled`](Self::batch_unlabeled). 0 for no limit \[P\].
    pub unlabeled_repeats: f64,
    /// The division (method §5).
    pub divide: divide::DivisionSettings,
    /// Weak views averaged for a pseudo-label, K \[P\].
    pub weak_views: usize,
    /// Sharpening temperature T \[P\].
    pub temperature: f64,
    /// What of the other network's prediction becomes p of a pseudo-label.
    pub partner: Partner,
    /// How much the candidates' weights count where a prediction is rescaled to them: f_j is multiplied by the weight to
    /// this power. 0 lets all candidates count alike \[P\].
    pub belief: f64,
    /// Learn from the other network's labels \[P\]; false is the ablation "w/o Co-PL".
    pub co_pseudo_label: bool,
    /// Use the unlabeled split \[P\]; false is the ablation "w/o 𝒰".
    pub use_unlabeled: bool,
    /// Both parameters of MixUp's Beta distribution \[I\].
    pub mixup: f64,
    /// Epochs over which the term of 𝒰 grows from 0 to 1 \[I\].
    pub ramp: usize,
    /// How far the squared errors on 𝒰 are averaged.
    pub unlabeled_error: UnlabeledError,
    /// λ₁, weight of the prototype term \[P\].
    pub lambda_proto: f64,
    /// λ₂, weight of the contrastive term \[P\].
    pub lambda_contrast: f64,
    /// Epochs after warm-up before the prototype and contrastive terms enter \[I\].
    pub regularise_after: usize,
    /// γ, momentum of the prototypes \[P\].
    pub prototype_momentum: f64,
    /// Whether a step moves the prototypes before its loss is taken \[I\], or afterwards.
    pub prototypes_first: bool,
    /// Temperature of the prototype logits \[I\].
    pub prototype_temperature: f64,
    /// Keys in the queue \[P\].
    pub queue: usize,
    /// Momentum of the key networks \[P\].
    pub key_momentum: f64,
    /// What the key networks take on anew at the start of every epoch.
    pub key_restart: KeyRestart,
    /// T″, temperature of the contrastive loss \[I\].
    pub contrast_temperature: f64,
    /// Which pairs attract each other \[P\]; `supervised` is the ablation "w/ SupCont".
    pub positives: Positives,
}

impl Default for CoReg {
    fn default() -> Self {
        Self {
            epochs: 750,
            batch_partial: 256,
            batch_unlabeled: 256,
            unlabeled_repeats: 0.0,
            divide: divide::DivisionSettings::default(),
            weak_views: 2,
            temperature: 0.5,
            partner: Partner::Rescaled,
            belief: 0.0,
            co_pseudo_label: true,
            use_unlabeled: true,
            mixup: 4.0,
            ramp: 16,
            unlabeled_error: UnlabeledError::Sum,
            lambda_proto: 0.1,
            lambda_contrast: 0.1,
            regularise_after: 11,
            prototype_momentum: 0.999,
            prototypes_first: true,
            prototype_temperature: 0.3,
            queue: 8192,
            key_momentum: 0.999,
            key_restart: KeyRestart::None,
            contrast_temperature: 0.07,
            positives: Positives::Noisy,
        }
    }
}

impl CoReg {
    /// Refuses constants that make no sense.
    ///
    /// # Errors
    /// The first such constant by name.
    pub(super) fn check_constants(&self) -> Result<()> {
        let bounds = Bounds("co-reg");
        bounds.count("epochs", self.epochs, 1, 1_000_000)?;
        bounds.count("batch_partial", self.batch_partial, 1, 1 << 16)?;
        bounds.count("batch_unlabeled", self.batch_unlabeled, 1, 1 << 16)?;
        bounds.count("weak_views", self.weak_views, 1, 64)?;
        bounds.queue(self.queue)?;
        bounds.count("divide.loss_history", self.divide.loss_history, 1, 1_000_000)?;
        bounds.count("divide.mixture_steps", self.divide.mixture_steps, 1, 1_000_000)?;
        bounds.positive("temperature", self.temperature)?;
        bounds.positive("divide.mixture_tolerance", self.divide.mixture_tolerance)?;
        bounds.positive("mixup", self.mixup)?;
        bounds.positive("prototype_temperature", self.prototype_temperature)?;
        bounds.positive("contrast_temperature", self.contrast_temperature)?;
        bounds.positive("divide.variance_floor", self.divide.variance_floor)?;
        bounds.weight("unlabeled_repeats", self.unlabeled_repeats)?;
        bounds.share("belief", self.belief)?;
        bounds.share("prototype_momentum", self.prototype_momentum)?;
        bounds.share("key_momentum", self.key_momentum)?;
        bounds.share("divide.threshold", self.divide.threshold)?;
        bounds.weight("lambda_proto", self.lambda_proto)?;
        bounds.weight("lambda_contrast", self.lambda_contrast)
    }
}

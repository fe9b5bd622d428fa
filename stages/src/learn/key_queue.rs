//! Embeddings with their pseudo-labels, and the queue of past keys (method §8).

use candle_core::{DType, Device, Result, Tensor};

use super::method::{State, restore_tensor};
use crate::runtime::checkpoint::Tensors;

/// Embeddings (n, E) with the pseudo-label and the split of each.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Embeddings of unit length: (n, E).
    pub embeddings: Tensor,
    /// Pseudo-labels: (n), u32.
    pub labels: Tensor,
    /// 1 where the sample is from 𝒫, 0 where it is from 𝒰: (n), u8.
    pub partial: Tensor,
}

impl Labelled {
    pub(super) fn cat(parts: &[&Self]) -> Result<Self> {
        let all = |of: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(|p| of(p)).collect::<Vec<_>>(), 0);
        Ok(Self {
            embeddings: all(|p| &p.embeddings)?,
            labels: all(|p| &p.labels)?,
            partial: all(|p| &p.partial)?,
        })
    }

    fn narrow(&self, from: usize, count: usize) -> Result<Self> {
        let part = |t: &Tensor| t.narrow(0, from, count);
        Ok(Self {
            embeddings: part(&self.embeddings)?,
            labels: part(&self.labels)?,
            partial: part(&self.partial)?,
        })
    }
}

/// The keys of the last steps, oldest overwritten first; they stay on the device.
#[derive(Debug)]
pub struct KeyQueue {
    /// Room for `capacity` keys, of which the first `count` are filled.
    slots: Labelled,
    /// Keys held.
    count: usize,
    /// Where the next key goes.
    next: usize,
}

impl KeyQueue {
    /// An empty queue for `capacity` keys of length `width`.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new(capacity: usize, width: usize, device: &Device) -> Result<Self> {
        let slots = Labelled {
            embeddings: Tensor::zeros((capacity, width), DType::F32, device)?,
            labels: Tensor::zeros(capacity, DType::U32, device)?,
            partial: Tensor::zeros(capacity, DType::U8, device)?,
        };
        Ok(Self { slots, count: 0, next: 0 })
    }

    /// Adds keys with their labels and splits, one after the other.
    ///
    /// # Errors
    /// Embeddings of another length or on another device.
    pub fn push(&mut self, keys: &Labelled) -> Result<()> {
        let (capacity, count) = (self.slots.labels.elem_count(), keys.labels.elem_count());
        if capacity == 0 {
            return Ok(());
        }
        // Of more keys than there is room, the last ones stay.
        let mut from = count.saturating_sub(capacity);
        let mut at = (self.next + from) % capacity;
        while from < count {
            let piece = (count - from).min(capacity - at);
            let keys = keys.narrow(from, piece)?;
            self.slots.embeddings.slice_set(&keys.embeddings.contiguous()?, 0, at)?;
            self.slots.labels.slice_set(&keys.labels.contiguous()?, 0, at)?;
            self.slots.partial.slice_set(&keys.partial.contiguous()?, 0, at)?;
            (from, at) = (from + piece, (at + piece) % capacity);
        }
        (self.count, self.next) = ((self.count + count).min(capacity), at);
        Ok(())
    }

    /// The keys held, in the order of their slots; none of an empty queue.
    ///
    /// # Errors
    /// The device fails.
    pub fn keys(&self) -> Result<Option<Labelled>> {
        (self.count > 0).then(|| self.slots.narrow(0, self.count)).transpose()
    }

    /// How many keys there is room for, and how long each is.
    pub fn dimensions(&self) -> Result<(usize, usize)> {
        self.slots.embeddings.dims2()
    }
}

const EMBEDDINGS: &str = "queue";
const LABELS: &str = "queue.labels";
const PARTIAL: &str = "queue.partial";
/// How many slots are filled, and which is the next.
const PLACE: &str = "queue.place";

impl State for KeyQueue {
    fn tensors(&self) -> pipeline::error::Result<Tensors> {
        use pipeline::error::{Error, OrFail};
        let cannot = || Error::new("cannot copy the queue");
        let on_cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu).or_fail(cannot);
        let place = [self.count as u32, self.next as u32];
        Ok(Tensors::from([
            (EMBEDDINGS.to_owned(), on_cpu(&self.slots.embeddings)?),
            (LABELS.to_owned(), on_cpu(&self.slots.labels)?),
            (PARTIAL.to_owned(), on_cpu(&self.slots.partial)?),
            (PLACE.to_owned(), Tensor::new(&place, &Device::Cpu).or_fail(cannot)?),
        ]))
    }

    fn restore(&mut self, tensors: &Tensors) -> pipeline::error::Result<()> {
        use pipeline::error::Error;
        restore_tensor(tensors, EMBEDDINGS, &mut self.slots.embeddings)?;
        restore_tensor(tensors, LABELS, &mut self.slots.labels)?;
        restore_tensor(tensors, PARTIAL, &mut self.slots.partial)?;
        let place: Option<Vec<u32>> = tensors.get(PLACE).and_then(|place| place.to_vec1().ok());
        let capacity = self.slots.labels.elem_count();
        match place.as_deref() {
            Some(&[count, next]) if count as usize <= capacity && next as usize <= capacity => {
                (self.count, self.next) = (count as usize, next as usize);
                Ok(())
            }
            _ => Err(Error::new(format!("the checkpoint's `{PLACE}` cannot be used"))),
        }
    }
}

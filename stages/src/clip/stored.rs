//! A tensor as a file holds it: its shape, the type of its numbers, and where they lie.

use half::{bf16, f16};

/// The type of a tensor's numbers, little-endian in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// No floats, by the name that the file has for it.
    Other(String),
}

/// A tensor that a file holds. Whoever lists one has checked that it lies within the file.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Sides.
    pub shape: Vec<usize>,
    /// Type of its numbers.
    pub kind: Kind,
    /// Offset of its first byte in the file.
    pub start: u64,
    /// Numbers from one to the next along each side, where they are not in row-major order.
    pub strides: Option<Vec<usize>>,
}

impl Stored {
    /// How many numbers it has, and how many lie from its first to its last. `None` beyond what can be counted.
    pub fn extent(&self) -> Option<[usize; 2]> {
        let count = self.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        let span = match &self.strides {
            Some(strides) if count > 0 => {
                self.shape.iter().zip(strides).try_fold(1usize, |span, (side, stride)| {
                    (side - 1).checked_mul(*stride)?.checked_add(span)
                })?
            }
            _ => count,
        };
        Some([count, span])
    }

    /// A matrix with rows and columns exchanged. `None` for what is no matrix.
    pub fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.shape[..] else { return None };
        let [down, along] = match self.strides.as_deref() {
            Some(&[down, along]) => [down, along],
            _ => [columns, 1],
        };
        Some(Self { shape: vec![columns, rows], strides: Some(vec![along, down]), ..self.clone() })
    }

    /// The third with this number, from 0, of what lies one below the other. `None` where there are no thirds.
    pub fn third(&self, number: usize) -> Option<Self> {
        let rows = self.shape.first().filter(|rows| rows.is_multiple_of(3))? / 3;
        let stride = match &self.strides {
            Some(strides) => *strides.first()?,
            None => self.shape[1..].iter().try_fold(1usize, |count, side| count.checked_mul(*side))?,
        };
        let bytes = number.checked_mul(rows)?.checked_mul(stride)?.checked_mul(self.kind.size())?;
        let mut third = Self { start: self.start.checked_add(bytes as u64)?, ..self.clone() };
        third.shape[0] = rows;
        Some(third)
    }
}

impl Kind {
    /// Bytes of a number; none where it is no float.
    pub fn size(&self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(_) => 0,
        }
    }
}

/// Little-endian floats as f32. Other types than floats give nothing; they are refused before.
pub fn floats(bytes: &[u8], kind: &Kind) -> Vec<f32> {
    let (pairs, fours, eights) =
        (bytes.as_chunks::<2>().0, bytes.as_chunks::<4>().0, bytes.as_chunks::<8>().0);
    match kind {
        Kind::F16 => pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Kind::BF16 => pairs.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Kind::F32 => fours.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Kind::F64 => eights.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Kind::Other(_) => Vec::new(),
    }
}

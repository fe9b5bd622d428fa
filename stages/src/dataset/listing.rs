//! What a source of images has: first its rows without any image, then the images of the rows that are wanted.
//!
//! So a limit decides before a byte of an image is read, and no more than a batch of them is in memory.

use pipeline::error::Result;
use pipeline::stage::Context;

use super::split::Split;

/// Rows of a source, without their images.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Listing {
    /// Unique names, the same in every run.
    pub ids: Vec<String>,
    /// Index of the true class, where the source knows it.
    pub labels: Vec<Option<i32>>,
    /// The split that the source gives each row.
    pub given: Vec<Option<Split>>,
}

impl Listing {
    /// Adds a row.
    pub(crate) fn push(&mut self, id: String, label: Option<i32>, split: Option<Split>) {
        self.ids.push(id);
        self.labels.push(label);
        self.given.push(split);
    }
}

/// An image as its source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedImage {
    /// PNG, JPEG, ….
    pub bytes: Vec<u8>,
    /// The file name that it once had, where the source keeps it.
    pub path: Option<String>,
}

/// A row, and its image or why there is none.
pub(crate) type Read = (usize, Result<EncodedImage>);

/// A source of images that was opened.
pub(crate) trait ImageSource {
    /// Its rows.
    ///
    /// # Errors
    /// A source that contradicts itself or the classes.
    fn list(&self, context: &Context) -> Result<Listing>;

    /// The encoded images of `rows` (ascending), in this order, a batch at a time: each with its row. An image that
    /// cannot be read is the taker's to judge.
    ///
    /// # Errors
    /// A source that cannot be read at all, a request to stop, and the taker's own.
    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()>;
}

/// Whoever takes a batch of images.
pub(crate) type Taker<'a> = dyn FnMut(Vec<Read>) -> Result<()> + 'a;

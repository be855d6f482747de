//! Vectors of channels for rows of tokens.

use candle_core::{Result, Tensor};

/// A vector of channels for each row: the same for all, or one of several, so that many
/// tokens at few times need few vectors.
#[derive(Clone, Debug)]
pub struct PerRow {
    /// Those that there are, [count, channels]; the channels lie side by side.
    pub values: Tensor,
    /// Which of them each row has, [rows]; none where all have the first.
    pub of: Option<Tensor>,
    /// Added to every value.
    pub plus: f64,
}

impl PerRow {
    /// `vector` [channels] for all rows.
    pub fn all(vector: &Tensor) -> Result<Self> {
        Ok(Self {
            values: vector.unsqueeze(0)?,
            of: None,
            plus: 0.0,
        })
    }

    /// The same with `plus` added.
    pub fn plus(self, plus: f64) -> Self {
        Self {
            plus: self.plus + plus,
            ..self
        }
    }

    /// Each row's own, [rows, channels]; [channels] where it is one for all.
    pub fn spread(&self) -> Result<Tensor> {
        let values = match self.plus {
            0.0 => self.values.clone(),
            plus => (&self.values + plus)?,
        };
        match &self.of {
            Some(of) => values.contiguous()?.index_select(of, 0),
            None => values.get(0),
        }
    }
}

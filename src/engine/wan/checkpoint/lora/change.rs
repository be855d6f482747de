//! The change to one layer, made of what a file has of it.

use std::collections::HashMap;

use candle_core::{Result, Tensor};

use super::magnitude::{Axis, Lengths};
use super::names::{Half, Known, Operand, Role};
use crate::device::ops::{Activation, Linear};

/// The change to one layer, or to one tensor that is no layer's.
#[derive(Default)]
pub struct Change {
    /// As the file names it.
    pub called: String,
    /// All but the alpha.
    pub parts: HashMap<Role, Tensor>,
    /// What a product counts, times its rank.
    pub alpha: Option<f32>,
    /// What a product counts, by what goes with the file.
    pub scale: Option<f64>,
}

/// Which of a layer's tensors.
#[derive(Clone, Copy)]
pub enum Side {
    /// The matrix, the kernels; of what is no layer, all.
    Weight,
    /// What is added behind it.
    Bias,
}

impl Change {
    fn part(&self, role: Role) -> Option<&Tensor> {
        self.parts.get(&role)
    }

    fn has(&self, role: Role) -> bool {
        self.parts.contains_key(&role)
    }

    /// Whether there is a part of one of `roles`.
    fn has_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.has(*role))
    }

    /// Whether it changes that tensor.
    pub fn changes(&self, side: Side) -> bool {
        match side {
            Side::Weight => self.multiplies() || self.has(Role::Weight),
            Side::Bias => self.has_any(&[Role::Bias, Role::UpBias]),
        }
    }

    /// What is to be added to the weight or the bias, before it is given a length.
    pub fn difference(&self, side: Side) -> Result<Option<Tensor>> {
        let (by, whole) = match side {
            Side::Weight => (self.product()?, self.part(Role::Weight)),
            Side::Bias => {
                let by = self.part(Role::UpBias).map(|b| b * self.factor());
                (by.transpose()?, self.part(Role::Bias))
            }
        };
        match (by, whole) {
            (Some(by), Some(whole)) => {
                let whole = whole.reshape(by.shape())?;
                Ok(Some((by + whole)?))
            }
            (by, whole) => Ok(by.or_else(|| whole.cloned())),
        }
    }

    /// The lengths that the weight, of the shape `dims`, is to have where they are told.
    pub fn lengths(&self, side: Side, dims: &[usize]) -> Result<Option<Lengths>> {
        let found = match side {
            Side::Weight => self.magnitude(),
            Side::Bias => None,
        };
        let Some((role, lengths)) = found else {
            return Ok(None);
        };
        let Some(axis) = axis(role, lengths.dims(), dims) else {
            candle_core::bail!("lengths of the shape {:?} for {dims:?}", lengths.dims());
        };
        let lengths = lengths.flatten_all()?.to_vec1()?;
        Ok(Some(Lengths { lengths, axis }))
    }

    fn magnitude(&self) -> Option<(Role, &Tensor)> {
        let roles = [Role::Magnitude, Role::DoraScale];
        roles
            .into_iter()
            .find_map(|role| Some((role, self.part(role)?)))
    }

    /// Whether there is a part of any product.
    fn multiplies(&self) -> bool {
        let product = |role: &Role| {
            matches!(
                role,
                Role::Down | Role::Up | Role::Hadamard(..) | Role::Kronecker(..)
            )
        };
        self.parts.keys().any(product)
    }

    /// The product of the matrices · factor, of the weight's sides as a matrix.
    fn product(&self) -> Result<Option<Tensor>> {
        let product = if let (Some(up), Some(down)) = (self.part(Role::Up), self.part(Role::Down)) {
            multiplied(up, down)?
        } else if let (Some(first), Some(second)) = (
            self.matrix(Role::Hadamard, Operand::First)?,
            self.matrix(Role::Hadamard, Operand::Second)?,
        ) {
            (first * second)?
        } else if let (Some(first), Some(second)) = (
            self.matrix(Role::Kronecker, Operand::First)?,
            self.matrix(Role::Kronecker, Operand::Second)?,
        ) {
            kronecker(&first, &second)?
        } else {
            return Ok(None);
        };
        Ok(Some((product * self.factor())?))
    }

    /// One of two matrices, which may be a product itself.
    fn matrix(&self, role: fn(Operand, Half) -> Role, of: Operand) -> Result<Option<Tensor>> {
        if let Some(whole) = self.part(role(of, Half::Whole)) {
            return whole.flatten_from(1).map(Some);
        }
        let halves = [Half::Up, Half::Down].map(|half| self.part(role(of, half)));
        let [Some(up), Some(down)] = halves else {
            return Ok(None);
        };
        multiplied(up, down).map(Some)
    }

    /// The sides of one of two matrices; `None` where a part of it is missing or they do
    /// not go together.
    fn matrix_sides(&self, role: fn(Operand, Half) -> Role, of: Operand) -> Option<[usize; 2]> {
        let part = |half: Half| self.part(role(of, half)).map(sides);
        match [Half::Whole, Half::Up, Half::Down].map(part) {
            [Some(whole), None, None] => Some(whole),
            [None, Some([to, rank]), Some([other, from])] => {
                (rank == other && rank > 0).then_some([to, from])
            }
            _ => None,
        }
    }

    /// What a product counts: alpha / rank where the file has an alpha. A product that
    /// tells no rank counts as it is.
    pub fn factor(&self) -> f64 {
        match (self.alpha, self.rank()) {
            (Some(alpha), Some(rank)) => f64::from(alpha) / rank as f64,
            _ => self.scale.unwrap_or(1.),
        }
    }

    /// The rank of the product, if its matrices tell one.
    pub fn rank(&self) -> Option<usize> {
        let downs = [
            Role::Down,
            Role::Hadamard(Operand::First, Half::Down),
            Role::Kronecker(Operand::Second, Half::Down),
            Role::Kronecker(Operand::First, Half::Down),
        ];
        let down = downs.into_iter().find_map(|role| self.part(role))?;
        down.dim(0).ok()
    }

    /// Whether no matrix lacks another.
    pub fn is_whole(&self) -> bool {
        let both = |role: fn(Operand, Half) -> Role| {
            [Operand::First, Operand::Second].map(|of| {
                let [whole, up, down] =
                    [Half::Whole, Half::Up, Half::Down].map(|half| self.has(role(of, half)));
                (whole || up && down, whole || up || down)
            })
        };
        let products = [both(Role::Hadamard), both(Role::Kronecker)];
        let whole =
            |[(first, any), (second, other)]: [(bool, bool); 2]| first && second || !any && !other;
        self.has(Role::Down) == self.has(Role::Up) && products.into_iter().all(whole)
    }

    /// Whether the parts have the shapes of the layer, or of the tensor, `part`.
    pub fn fits(&self, part: &str, known: &Known) -> bool {
        let shape = |side: &str| {
            let tensor = known.shapes.get(&format!("{part}.{side}"));
            tensor.map(|shape| &shape[..])
        };
        let weight = shape("weight").or(known.shapes.get(part).map(|s| &s[..]));
        let same = |role: Role, shape: Option<&[usize]>| match self.part(role) {
            Some(value) => shape.is_some_and(|s| trimmed(s) == trimmed(value.dims())),
            None => true,
        };
        let long = |(role, lengths): (Role, &Tensor)| {
            weight.is_some_and(|weight| axis(role, lengths.dims(), weight).is_some())
        };
        (!self.multiplies() || weight.is_some_and(|weight| self.products_fit(weight)))
            && self.magnitude().is_none_or(long)
            && same(Role::Weight, weight)
            && same(Role::Bias, shape("bias"))
            && same(Role::UpBias, shape("bias"))
    }

    /// Whether every product is of the sides of `weight` as a matrix.
    fn products_fit(&self, weight: &[usize]) -> bool {
        let [output, input @ ..] = weight else {
            return false;
        };
        let weight = [*output, input.iter().product()];
        let pair = match (self.part(Role::Down), self.part(Role::Up)) {
            (None, None) => true,
            (Some(down), Some(up)) => {
                let ([rank, from], [to, other]) = (sides(down), sides(up));
                rank == other && rank > 0 && [to, from] == weight
            }
            _ => false,
        };
        let product = |role: fn(Operand, Half) -> Role, fits: &dyn Fn([[usize; 2]; 2]) -> bool| {
            let halves = [Half::Whole, Half::Up, Half::Down];
            let both = [Operand::First, Operand::Second];
            if !both
                .iter()
                .any(|of| halves.iter().any(|h| self.has(role(*of, *h))))
            {
                return true;
            }
            match both.map(|of| self.matrix_sides(role, of)) {
                [Some(first), Some(second)] => fits([first, second]),
                _ => false,
            }
        };
        pair && product(Role::Hadamard, &|both| both == [weight; 2])
            && product(Role::Kronecker, &|[first, second]| {
                let times = |i: usize| first[i].checked_mul(second[i]);
                [times(0), times(1)] == weight.map(Some)
            })
    }

    /// Whether the parts go with `part` and with one another.
    pub fn check(&self, part: &str, known: &Known) -> std::result::Result<(), String> {
        if !self.is_whole() {
            return Err(format!("{part} has one of two matrices"));
        }
        let kinds = [
            self.has(Role::Down),
            self.has(Role::Hadamard(Operand::First, Half::Up)),
            self.matrix_sides(Role::Kronecker, Operand::First).is_some(),
        ];
        if kinds.iter().filter(|has| **has).count() > 1 {
            return Err(format!("{part} is changed in more than one way"));
        }
        if self.magnitude().is_some() && !self.multiplies() {
            return Err(format!("{part} has lengths and no matrices"));
        }
        if !self.fits(part, known) {
            return Err(format!(
                "the change of {part} has another shape than the layer; it was made for another model"
            ));
        }
        Ok(())
    }
}

/// `up` · `down`, matrices or convolutions whose kernels do not overlap.
fn multiplied(up: &Tensor, down: &Tensor) -> Result<Tensor> {
    let (up, down) = (up.flatten_from(1)?, down.flatten_from(1)?);
    // As a layer: the same bits on every processor, which candle's product is not.
    let down = Linear::new(down.t()?.contiguous()?, None, Activation::None)?;
    down.forward(&up)
}

/// Every value of `first` times all of `second`, which takes its place.
fn kronecker(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let ([rows, columns], [tall, wide]) = (sides(first), sides(second));
    let first = first.reshape((rows, 1, columns, 1))?;
    let second = second.reshape((1, tall, 1, wide))?;
    first
        .broadcast_mul(&second)?
        .reshape((rows * tall, columns * wide))
}

/// Along which side of a weight of the shape `weight` these lengths lie, if they do.
fn axis(role: Role, lengths: &[usize], weight: &[usize]) -> Option<Axis> {
    let count: usize = lengths.iter().product();
    let output = *weight.first()?;
    // peft has those of rows, of convolutions along another axis.
    let of_rows = role == Role::Magnitude || lengths.first() == Some(&output);
    if of_rows {
        return (count == output).then_some(Axis::Rows);
    }
    // LyCORIS keeps the axis of a column in its place.
    let columns = [lengths.get(1), weight.get(1)];
    (columns[0] == columns[1] && columns[1] == Some(&count)).then_some(Axis::Columns)
}

/// The sides of `tensor` as a matrix: its rows, and all else.
fn sides(tensor: &Tensor) -> [usize; 2] {
    match tensor.dims() {
        [rows, rest @ ..] if !rest.is_empty() => [*rows, rest.iter().product()],
        _ => [0; 2],
    }
}

/// `shape` without the sides of 1 before others, which GGUF loses.
fn trimmed(shape: &[usize]) -> &[usize] {
    let lead = shape.iter().take_while(|n| **n == 1).count();
    &shape[lead..]
}

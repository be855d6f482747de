//! Parts of the picture with texts of their own.
//!
//! Each token belongs to the subjects whose mattes touch it, or to none. Attention to
//! text goes from a token to the texts of its subjects alone, and to the main text where
//! it has none; where mattes overlap a token heeds each of its subjects' texts alike (the
//! mean of what it finds in each). Attention among tokens goes from a token to those that
//! belong to no subject that it does not belong to itself. So what a subject's text says
//! reaches only tokens of that subject, through any number of blocks and steps: the
//! latents outside its matte are the same to the bit whatever it says. The price is that
//! what is outside does not see the subject either; the subject sees what is outside.

use candle_core::{Device, Result, Tensor};

/// Subjects that can be told apart, at most.
pub const MOST: usize = 32;

/// Tokens that belong to the same subjects.
pub(super) struct Group {
    /// Their numbers.
    pub tokens: Tensor,
    /// The numbers of the tokens that they attend to.
    pub sees: Tensor,
    /// Their texts: 0 for the main one, 1 for the first subject's.
    pub texts: Vec<usize>,
}

/// Which tokens belong to which subjects.
pub struct Regions {
    pub(super) groups: Vec<Group>,
    /// Where each token is once the groups stand behind one another.
    order: Tensor,
    /// For each token the bits of its subjects.
    members: Vec<u32>,
}

impl Regions {
    /// Token `i` belongs to the subjects whose bits `members[i]` has, the first
    /// subject's lowest.
    pub fn new(members: &[u32], device: &Device) -> Result<Self> {
        let mut kinds = members.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        let of = |wanted: &dyn Fn(u32) -> bool| -> Vec<u32> {
            let all = members.iter().zip(0u32..);
            all.filter(|(m, _)| wanted(**m)).map(|(_, i)| i).collect()
        };
        let tensor = |list: Vec<u32>| {
            let count = list.len();
            Tensor::from_vec(list, count, device)
        };
        let mut order = vec![0u32; members.len()];
        let mut next = 0;
        let mut groups = Vec::new();
        for kind in kinds {
            let tokens = of(&|m| m == kind);
            for token in &tokens {
                order[*token as usize] = next;
                next += 1;
            }
            let texts: Vec<usize> = (0..MOST)
                .filter(|i| kind >> i & 1 == 1)
                .map(|i| i + 1)
                .collect();
            groups.push(Group {
                tokens: tensor(tokens)?,
                sees: tensor(of(&|m| m & !kind == 0))?,
                texts: if texts.is_empty() { vec![0] } else { texts },
            });
        }
        Ok(Self {
            groups,
            order: tensor(order)?,
            members: members.to_vec(),
        })
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.members.len()
    }

    /// For each token the bits of its subjects.
    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    /// The results of the groups, [1, tokens of the group, dim] each, in the order of
    /// the tokens.
    pub(super) fn gathered(&self, parts: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(parts, 1)?.index_select(&self.order, 1)
    }
}

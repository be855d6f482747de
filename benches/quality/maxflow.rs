//! Minimal cut of a three-dimensional grid (Boykov and Kolmogorov, "An
//! experimental comparison of min-cut/max-flow algorithms for energy
//! minimization in vision", PAMI 2004): two search trees grow from both
//! terminals, meet, are pushed through and mended.

use std::collections::VecDeque;

const FREE: u8 = 0;
const SOURCE: u8 = 1;
const SINK: u8 = 2;

/// The parent is the terminal itself.
const TERMINAL: u8 = 6;
/// No parent.
const NONE: u8 = 7;

/// A grid of nodes with capacities between neighbours. Directions: +x, -x, +y,
/// -y, +z, -z; `d ^ 1` is the opposite of `d`.
pub struct Grid {
    size: [usize; 3],
    hop: [isize; 6],
    /// For each direction, of the edge from each node that way.
    cap: [Vec<i32>; 6],
    /// What the source still gives (above 0) or the sink still takes (below).
    terminal: Vec<i32>,
    tree: Vec<u8>,
    parent: Vec<u8>,
    stamp: Vec<u32>,
    far: Vec<u32>,
    queued: Vec<bool>,
    active: VecDeque<usize>,
    orphans: VecDeque<usize>,
    time: u32,
}

impl Grid {
    /// A grid of `x` × `y` × `z` nodes without edges. A border of nodes
    /// without edges surrounds it, so that neighbours need no check.
    pub fn new(x: usize, y: usize, z: usize) -> Self {
        let (w, h) = (x + 2, y + 2);
        let n = w * h * (z + 2);
        let (across, down, deep) = (1, w as isize, (w * h) as isize);
        Self {
            size: [x, y, z],
            hop: [across, -across, down, -down, deep, -deep],
            cap: std::array::from_fn(|_| vec![0; n]),
            terminal: vec![0; n],
            tree: vec![FREE; n],
            parent: vec![NONE; n],
            stamp: vec![0; n],
            far: vec![0; n],
            queued: vec![false; n],
            active: VecDeque::new(),
            orphans: VecDeque::new(),
            time: 0,
        }
    }

    fn node(&self, x: usize, y: usize, z: usize) -> usize {
        let [w, h, _] = self.size;
        ((z + 1) * (h + 2) + y + 1) * (w + 2) + x + 1
    }

    fn next(&self, i: usize, d: u8) -> usize {
        (i as isize + self.hop[usize::from(d)]) as usize
    }

    fn residual(&self, i: usize, d: u8) -> i32 {
        self.cap[usize::from(d)][i]
    }

    /// Joins a node and its neighbour along `axis` (0, 1 or 2), both ways.
    pub fn join(&mut self, [x, y, z]: [usize; 3], axis: usize, capacity: i32) {
        let i = self.node(x, y, z);
        let d = (axis * 2) as u8;
        let j = self.next(i, d);
        self.cap[axis * 2][i] += capacity;
        self.cap[axis * 2 + 1][j] += capacity;
    }

    /// Ties a node to the source (above 0) or to the sink (below 0).
    pub fn tie(&mut self, [x, y, z]: [usize; 3], capacity: i32) {
        let i = self.node(x, y, z);
        self.terminal[i] += capacity;
    }

    /// Whether a node is on the source's side of the cut.
    pub fn with_source(&self, [x, y, z]: [usize; 3]) -> bool {
        self.tree[self.node(x, y, z)] == SOURCE
    }

    fn activate(&mut self, i: usize) {
        if !self.queued[i] {
            self.queued[i] = true;
            self.active.push_back(i);
        }
    }

    /// Finds the minimal cut and returns its capacity.
    pub fn cut(&mut self) -> i64 {
        for i in 0..self.terminal.len() {
            let t = self.terminal[i];
            if t != 0 {
                self.tree[i] = if t > 0 { SOURCE } else { SINK };
                self.parent[i] = TERMINAL;
                self.far[i] = 1;
                self.activate(i);
            }
        }
        let mut flow = 0;
        while let Some(i) = self.active.pop_front() {
            self.queued[i] = false;
            while self.parent[i] != NONE {
                let Some((from, d)) = self.grow(i) else { break };
                self.time += 1;
                flow += self.augment(from, d);
                self.adopt();
            }
        }
        flow
    }

    /// Grows the tree of `i` by its neighbours; an edge from the source's tree
    /// to the sink's if one is met.
    fn grow(&mut self, i: usize) -> Option<(usize, u8)> {
        let own = self.tree[i];
        for d in 0..6u8 {
            let j = self.next(i, d);
            let open = if own == SOURCE {
                self.residual(i, d)
            } else {
                self.residual(j, d ^ 1)
            };
            if open <= 0 {
                continue;
            }
            if self.tree[j] == FREE {
                self.tree[j] = own;
                self.parent[j] = d ^ 1;
                self.stamp[j] = self.stamp[i];
                self.far[j] = self.far[i] + 1;
                self.activate(j);
            } else if self.tree[j] != own {
                return Some(if own == SOURCE { (i, d) } else { (j, d ^ 1) });
            } else if self.stamp[j] <= self.stamp[i] && self.far[j] > self.far[i] + 1 {
                // A shorter way to the root.
                self.parent[j] = d ^ 1;
                self.stamp[j] = self.stamp[i];
                self.far[j] = self.far[i] + 1;
            }
        }
        None
    }

    /// Pushes what fits through the path over the edge `d` from `from`.
    fn augment(&mut self, from: usize, d: u8) -> i64 {
        let to = self.next(from, d);
        let mut push = self.residual(from, d);
        let mut i = from;
        while self.parent[i] != TERMINAL {
            let p = self.parent[i];
            i = self.next(i, p);
            push = push.min(self.residual(i, p ^ 1));
        }
        push = push.min(self.terminal[i]);
        i = to;
        while self.parent[i] != TERMINAL {
            let p = self.parent[i];
            push = push.min(self.residual(i, p));
            i = self.next(i, p);
        }
        push = push.min(-self.terminal[i]);

        self.cap[usize::from(d)][from] -= push;
        self.cap[usize::from(d ^ 1)][to] += push;
        i = from;
        while self.parent[i] != TERMINAL {
            let p = self.parent[i];
            let up = self.next(i, p);
            self.cap[usize::from(p ^ 1)][up] -= push;
            self.cap[usize::from(p)][i] += push;
            if self.residual(up, p ^ 1) == 0 {
                self.orphan(i);
            }
            i = up;
        }
        self.terminal[i] -= push;
        if self.terminal[i] == 0 {
            self.orphan(i);
        }
        i = to;
        while self.parent[i] != TERMINAL {
            let p = self.parent[i];
            let up = self.next(i, p);
            self.cap[usize::from(p)][i] -= push;
            self.cap[usize::from(p ^ 1)][up] += push;
            if self.residual(i, p) == 0 {
                self.orphan(i);
            }
            i = up;
        }
        self.terminal[i] += push;
        if self.terminal[i] == 0 {
            self.orphan(i);
        }
        i64::from(push)
    }

    /// Cuts a node off its parent. The parent is forgotten only when no path
    /// is walked any more.
    fn orphan(&mut self, i: usize) {
        self.orphans.push_back(i);
    }

    fn adopt(&mut self) {
        for k in 0..self.orphans.len() {
            let i = self.orphans[k];
            self.parent[i] = NONE;
        }
        while let Some(i) = self.orphans.pop_front() {
            let own = self.tree[i];
            let mut best: Option<(u32, u8)> = None;
            for d in 0..6u8 {
                let j = self.next(i, d);
                let open = if own == SOURCE {
                    self.residual(j, d ^ 1)
                } else {
                    self.residual(i, d)
                };
                if open > 0
                    && self.tree[j] == own
                    && self.parent[j] != NONE
                    && let Some(far) = self.root(j)
                    && best.is_none_or(|b| far < b.0)
                {
                    best = Some((far, d));
                }
            }
            if let Some((far, d)) = best {
                self.parent[i] = d;
                self.stamp[i] = self.time;
                self.far[i] = far + 1;
                continue;
            }
            for d in 0..6u8 {
                let j = self.next(i, d);
                if self.tree[j] != own || self.parent[j] == NONE {
                    continue;
                }
                let open = if own == SOURCE {
                    self.residual(j, d ^ 1)
                } else {
                    self.residual(i, d)
                };
                if open > 0 {
                    self.activate(j);
                }
                if self.parent[j] == d ^ 1 {
                    self.parent[j] = NONE;
                    self.orphans.push_back(j);
                }
            }
            self.tree[i] = FREE;
        }
    }

    /// How far `j` is from its terminal, if its way leads there.
    fn root(&mut self, j: usize) -> Option<u32> {
        let (mut k, mut far) = (j, 0);
        loop {
            if self.stamp[k] == self.time {
                far += self.far[k];
                break;
            }
            far += 1;
            match self.parent[k] {
                TERMINAL => {
                    self.stamp[k] = self.time;
                    self.far[k] = 1;
                    break;
                }
                NONE => return None,
                p => k = self.next(k, p),
            }
        }
        let whole = far;
        k = j;
        while self.stamp[k] != self.time {
            self.stamp[k] = self.time;
            self.far[k] = far;
            far -= 1;
            k = self.next(k, self.parent[k]);
        }
        Some(whole)
    }
}

//! Plate frames as another camera would have seen them: read through an affine
//! map.

use std::sync::Arc;

use super::agree;
use super::edges::{self, Lacking, Map};
use super::feather::Feather;
use super::resample::{self, Manner};
use crate::device::install;
use crate::engine::plate::camera::{self, Pose};
use crate::engine::plate::exposure::{self, Exposure};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader};

/// A plate whose frames are seen from one pose of the camera. A frame that was
/// taken from that very pose is passed on as it is. Beyond its edges is seen what other
/// frames of the plate show there, if they may lend and what they show belongs there,
/// and it comes in over a band within them; what none shows is mirrored.
pub(in crate::engine::plate) struct Seen<'a> {
    plate: &'a mut dyn PlateReader,
    /// Number of the plate frame that the first pose belongs to.
    first: i32,
    poses: &'a [Pose],
    from: Pose,
    lending: Option<Lending<'a>>,
}

/// Which frames of a plate lend to others what lies beyond their edges.
#[derive(Clone, Copy)]
pub(in crate::engine::plate) struct Lending<'a> {
    /// Frame by frame of the poses: whether it lends nothing. Empty where all do.
    pub(in crate::engine::plate) withheld: &'a [bool],
    /// The exposure of the frames, where it drifts.
    pub(in crate::engine::plate) exposure: Option<&'a Exposure>,
}

impl<'a> Seen<'a> {
    /// `plate`, whose frame `first` and those after it were taken from `poses`,
    /// seen from `from`. Frames beyond the poses are as if taken from there.
    pub(in crate::engine::plate) fn new(
        plate: &'a mut dyn PlateReader,
        first: i32,
        poses: &'a [Pose],
        from: Pose,
    ) -> Self {
        Self {
            plate,
            first,
            poses,
            from,
            lending: None,
        }
    }

    /// The same with frames that lend.
    pub(in crate::engine::plate) fn lending(self, lending: Option<Lending<'a>>) -> Self {
        Self { lending, ..self }
    }
}

impl PlateReader for Seen<'_> {
    fn info(&self) -> &PlateInfo {
        self.plate.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let picture = self.plate.read(frame)?;
        let index = usize::try_from(frame - self.first).ok();
        let own = index.filter(|i| *i < self.poses.len());
        let (Some(own), Some(lending)) = (own, self.lending) else {
            let taken = own.map_or(&self.from, |i| &self.poses[i]);
            return Ok(seen_from(&picture, taken, &self.from, self.plate.info()));
        };
        let info = self.plate.info().clone();
        let whole = Whole {
            poses: self.poses,
            withheld: lending.withheld,
            from: &self.from,
            info: &info,
            asked: true,
        };
        whole.seen(&picture, own, |lender| {
            let lent = self.plate.read(self.first + lender as i32)?;
            Ok(match lending.exposure {
                Some(e) => exposure::lit(lent, e.between(lender, own), &info),
                None => lent,
            })
        })
    }

    fn prefetch(&mut self, frames: &[i32]) {
        self.plate.prefetch(frames);
    }
}

/// Frames, taken from `poses`, as a camera at `from` would have seen them, with what
/// others lend.
pub(in crate::engine::plate) struct Whole<'a> {
    /// Where the camera was at each frame.
    pub(in crate::engine::plate) poses: &'a [Pose],
    /// Which frames lend nothing. Empty where all do.
    pub(in crate::engine::plate) withheld: &'a [bool],
    /// Where it looks from.
    pub(in crate::engine::plate) from: &'a Pose,
    /// Of the plate.
    pub(in crate::engine::plate) info: &'a PlateInfo,
    /// Whether it is asked if what lenders show belongs there: of pictures whose
    /// samples are as `info` says.
    pub(in crate::engine::plate) asked: bool,
}

impl Whole<'_> {
    /// Frames, by index, that lend to frame `own`.
    pub(in crate::engine::plate) fn lenders(&self, own: usize) -> Vec<usize> {
        let wide = camera::wide(self.info);
        edges::lenders(self.poses, self.withheld, own, self.from, wide)
    }

    /// Frame `own`, which is `picture`; `read` gives the others, by index. One of them
    /// is held at a time. A lender of another shape lends nothing.
    ///
    /// # Errors
    /// Those of `read`.
    pub(in crate::engine::plate) fn seen<E>(
        &self,
        picture: &Arc<Picture>,
        own: usize,
        mut read: impl FnMut(usize) -> Result<Arc<Picture>, E>,
    ) -> Result<Arc<Picture>, E> {
        let taken = &self.poses[own];
        let mut out = seen_from(picture, taken, self.from, self.info);
        let lenders = self.lenders(own);
        if lenders.is_empty() {
            return Ok(out);
        }
        let (w, h) = (picture.width(), picture.height());
        let map = |pose: &Pose| {
            let way = pose.after(&self.from.inverse());
            pixels((w, h), &way, camera::wide(self.info))
        };
        let own = map(taken);
        let mut lacking = Lacking::of(w, h, &own);
        let mut feather = Feather::new((w, h), &own);
        let manner = Manner::of(self.info);
        for lender in lenders {
            if lacking.is_empty() {
                break;
            }
            let lent = read(lender)?;
            let shape = |p: &Picture| (p.width(), p.height(), p.channels());
            if shape(&lent) != shape(picture) {
                continue;
            }
            let map = map(&self.poses[lender]);
            let mut part = lacking.take(w, &map);
            if self.asked {
                let both = ((&*out, &own), (&*lent, &map));
                let (belongs, refused) = agree::part(part, both.0, both.1, self.info);
                lacking.put_back(refused);
                part = belongs;
            }
            if !part.is_empty() {
                let out = Arc::make_mut(&mut out);
                let way = (map, &manner);
                install(|| resample::affine_onto(out, &lent, way, &part, |_, _| 1.0));
                if self.asked {
                    let band = feather.band(&part).take(w, &map);
                    let weight = |x, y| feather.weight(x, y);
                    install(|| resample::affine_onto(out, &lent, way, &band, weight));
                }
            }
        }
        Ok(out)
    }
}

/// `picture`, a frame of a plate like `info` that was taken from `taken`, as a
/// camera at rest would have taken it.
pub(in crate::engine::plate) fn at_rest(
    picture: &Arc<Picture>,
    taken: &Pose,
    info: &PlateInfo,
) -> Arc<Picture> {
    seen_from(picture, taken, &Pose::REST, info)
}

/// `picture`, which was taken from `taken`, as a camera at `from` would have taken
/// it; itself where both are one.
fn seen_from(picture: &Arc<Picture>, taken: &Pose, from: &Pose, info: &PlateInfo) -> Arc<Picture> {
    if taken == from {
        return Arc::clone(picture);
    }
    let way = taken.after(&from.inverse());
    let map = pixels(
        (picture.width(), picture.height()),
        &way,
        camera::wide(info),
    );
    let manner = Manner::of(info);
    Arc::new(install(|| resample::affine(picture, map, &manner)))
}

/// What `way` does with the pixels of a picture of `size`, `wide` heights across.
fn pixels(size: (usize, usize), way: &Pose, wide: f64) -> Map {
    // From pixels to places and back.
    let (w, h) = (size.0 as f64, size.1 as f64);
    let (sx, sy) = (wide / w, 1.0 / h);
    let (cx, cy) = ((0.5 / w - 0.5) * wide, 0.5 / h - 0.5);
    let (x, y) = way.apply(cx, cy);
    [
        way.xx,
        way.xy * sy / sx,
        (x - cx) / sx,
        way.yx * sx / sy,
        way.yy,
        (y - cy) / sy,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameRange, Transfer};

    struct Plate(PlateInfo, Arc<Picture>);

    impl PlateReader for Plate {
        fn info(&self) -> &PlateInfo {
            &self.0
        }

        fn read(&mut self, _frame: i32) -> Result<Arc<Picture>, FrameError> {
            Ok(Arc::clone(&self.1))
        }
    }

    fn slope(x: f64, y: f64) -> [f32; 2] {
        [(2.0 + x + 3.0 * y) as f32, (5.0 - 2.0 * x + y) as f32]
    }

    fn plate(w: usize, h: usize, pixel_aspect: f64) -> Plate {
        let mut p = Picture::new(w, h, 2);
        for y in 0..h {
            for x in 0..w {
                let v = slope(
                    ((x as f64 + 0.5) / w as f64 - 0.5) * w as f64 * pixel_aspect / h as f64,
                    (y as f64 + 0.5) / h as f64 - 0.5,
                );
                p.row_mut(y)[2 * x..2 * x + 2].copy_from_slice(&v);
            }
        }
        let info = PlateInfo {
            range: FrameRange { first: 7, last: 9 },
            width: w,
            height: h,
            full_size: (w, h),
            channels: vec!["R".to_owned(), "G".to_owned()],
            fps: 25.0,
            transfer: Transfer::Linear,
            pixel_aspect,
            ids: Vec::new(),
        };
        Plate(info, Arc::new(p))
    }

    #[test]
    fn a_frame_seen_from_elsewhere_lies_where_the_poses_say() {
        for aspect in [1.0, 2.0] {
            let mut plate = plate(64, 48, aspect);
            let wide = camera::wide(&plate.0);
            let taken = Pose {
                xx: 1.01,
                xy: -0.02,
                yx: 0.015,
                yy: 0.99,
                x: 0.03,
                y: -0.02,
            };
            let from = Pose {
                x: -0.01,
                y: 0.015,
                ..Pose::REST
            };
            let poses = [from, taken, from];
            let got = Seen::new(&mut plate, 7, &poses, from).read(8).unwrap();
            let way = taken.after(&from.inverse());
            for (x, y) in [(20, 20), (40, 30), (32, 12)] {
                let at = way.apply(
                    ((x as f64 + 0.5) / 64.0 - 0.5) * wide,
                    (y as f64 + 0.5) / 48.0 - 0.5,
                );
                let want = slope(at.0, at.1);
                for (g, w) in got.pixel(x, y).iter().zip(want) {
                    assert!((g - w).abs() < 3e-3, "{x} {y}: {g} for {w}");
                }
            }
        }
    }

    #[test]
    fn a_frame_taken_from_there_and_one_beyond_the_poses_are_the_plates() {
        let mut plate = plate(16, 12, 1.0);
        let whole = Arc::clone(&plate.1);
        let poses = [Pose {
            x: 0.1,
            ..Pose::REST
        }];
        for frame in [7, 8] {
            let mut seen = Seen::new(&mut plate, 7, &poses, poses[0]);
            assert!(Arc::ptr_eq(&seen.read(frame).unwrap(), &whole));
        }
    }
}

//! Composites made pixels into the plate through a matte.

/// Lays `made` over `plate` by `matte` (one value a pixel), in place. Where the
/// matte is 0 (or less, or not a number) the plate's bits stand; where it is 1
/// or more the made ones; between, `made * matte + plate * (1 - matte)` in
/// scene-linear light, all channels alike but `ids`, which are never mixed: of
/// these the one that has the larger share stands. Where both agree nothing changes.
pub(super) fn composite(
    made: &mut [f32],
    plate: &[f32],
    matte: &[f32],
    channels: usize,
    ids: &[usize],
) {
    let pixels = made.chunks_exact_mut(channels);
    for ((made, plate), &m) in pixels.zip(plate.chunks_exact(channels)).zip(matte) {
        if m >= 1.0 {
            continue;
        }
        if m.is_nan() || m <= 0.0 {
            made.copy_from_slice(plate);
            continue;
        }
        let names: Vec<(usize, f32)> = (ids.iter())
            .map(|&c| (c, if m >= 0.5 { made[c] } else { plate[c] }))
            .collect();
        for (v, &p) in made.iter_mut().zip(plate) {
            if v.to_bits() != p.to_bits() {
                *v = *v * m + p * (1.0 - m);
            }
        }
        for (c, name) in names {
            made[c] = name;
        }
    }
}

/// First and past the last column where the matte lets anything through.
pub(super) fn reach(matte: &[f32]) -> (usize, usize) {
    let through = |m: &f32| *m > 0.0;
    match (
        matte.iter().position(through),
        matte.iter().rposition(through),
    ) {
        (Some(a), Some(b)) => (a, b + 1),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plate_stands_outside_and_mixes_between() {
        let plate = [1.0, f32::NAN, 3.0, 4.0, -5.0, 0.1];
        let mut made = [9.0, 9.0, 9.0, 9.0, 9.0, 0.1];
        let matte = [0.0, -1.0, 1.0, 0.5, f32::NAN, 0.3];
        composite(&mut made, &plate, &matte, 1, &[]);
        assert_eq!(made[0], 1.0);
        assert!(made[1].is_nan());
        assert_eq!(made[2..], [9.0, 6.5, -5.0, 0.1]);
        assert_eq!(reach(&matte), (2, 6));
        let plate = [1.0, f32::from_bits(7), 1.0, f32::from_bits(8)];
        let mut made = [2.0, f32::from_bits(5), 2.0, f32::from_bits(6)];
        composite(&mut made, &plate, &[0.4, 0.5], 2, &[1]);
        assert_eq!([made[1], made[3]].map(f32::to_bits), [7, 6]);
        assert_eq!([made[0], made[2]], [2.0 * 0.4 + (1.0 - 0.4), 1.5]);
        assert_eq!(reach(&[0.0, f32::NAN]), (0, 0));
    }
}

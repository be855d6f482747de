//! Time codes (SMPTE 12M) and frame rates as files carry them.

pub use exr::meta::attribute::TimeCode;

/// `code` moved by `frames` at `fps` frames a second, forward or back, round
/// the clock. Above 30 frames a second two frames share a number and are told
/// apart by the field phase, as the standard has it; drop-frame codes leave
/// out the first two numbers of each minute but every tenth.
pub(super) fn advance(code: TimeCode, frames: i64, fps: f64) -> TimeCode {
    let nominal = (fps.round() as i64).max(1);
    let pair = if nominal > 30 { 2 } else { 1 };
    let base = nominal / pair;
    let drop = code.drop_frame && base == 30;
    // Numbers left out: 2 in each of 9 minutes out of 10.
    let (minute, ten) = if drop {
        (base * 60 - 2, base * 600 - 18)
    } else {
        (base * 60, base * 600)
    };
    let minutes = i64::from(code.hours) * 60 + i64::from(code.minutes);
    let dropped = if drop {
        2 * (minutes - minutes / 10)
    } else {
        0
    };
    let number = (minutes * 60 + i64::from(code.seconds)) * base + i64::from(code.frame) - dropped;
    let phase = i64::from(pair == 2 && code.field_phase);
    let moved = number * pair + phase + frames;
    let number = moved.div_euclid(pair).rem_euclid(ten * 144);
    let (tens, rest) = (number / ten, number % ten);
    // The first minute of ten drops nothing and is two numbers longer.
    let (minutes, rest) = if drop && rest >= base * 60 {
        let past = rest - base * 60;
        (tens * 10 + 1 + past / minute, past % minute + 2)
    } else {
        (tens * 10 + rest / (base * 60), rest % (base * 60))
    };
    TimeCode {
        hours: (minutes / 60) as u8,
        minutes: (minutes % 60) as u8,
        seconds: (rest / base) as u8,
        frame: (rest % base) as u8,
        field_phase: if pair == 2 {
            moved.rem_euclid(2) == 1
        } else {
            code.field_phase
        },
        ..code
    }
}

/// The code that `text` writes as movies do, `01:02:03:04`, with `;` before the frames of
/// a drop-frame code, at `fps` frames a second. Movies count every frame, also above 30.
pub(super) fn parse(text: &str, fps: f64) -> Option<TimeCode> {
    let drop_frame = text.contains([';', '.']);
    let parts: Option<Vec<u8>> = text
        .trim()
        .split([':', ';', '.'])
        .map(|p| p.parse().ok())
        .collect();
    let &[hours, minutes, seconds, frame] = parts?.as_slice() else {
        return None;
    };
    let nominal = fps.round();
    if hours > 23 || minutes > 59 || seconds > 59 || f64::from(frame) >= nominal {
        return None;
    }
    let pair = nominal > 30.0;
    Some(TimeCode {
        hours,
        minutes,
        seconds,
        frame: if pair { frame / 2 } else { frame },
        field_phase: pair && frame % 2 == 1,
        drop_frame,
        ..TimeCode::default()
    })
}

/// `fps` as the fraction that files carry: the television rates over 1001
/// exactly, others to a thousandth.
pub(super) fn rational(fps: f64) -> (i32, u32) {
    let whole = fps.round();
    if (fps - whole).abs() < 1e-6 {
        return (whole as i32, 1);
    }
    let television = (fps * 1.001).round();
    if (television / 1.001 - fps).abs() < 0.002 {
        return ((television * 1000.0) as i32, 1001);
    }
    ((fps * 1000.0).round() as i32, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(hours: u8, minutes: u8, seconds: u8, frame: u8) -> TimeCode {
        TimeCode {
            hours,
            minutes,
            seconds,
            frame,
            ..TimeCode::default()
        }
    }

    #[test]
    fn codes_carry_over_and_go_round_the_clock() {
        assert_eq!(advance(code(1, 0, 0, 0), 240, 24.0), code(1, 0, 10, 0));
        assert_eq!(advance(code(0, 59, 59, 23), 1, 24.0), code(1, 0, 0, 0));
        assert_eq!(advance(code(0, 0, 0, 0), -1, 25.0), code(23, 59, 59, 24));
        assert_eq!(advance(code(23, 59, 59, 24), 1, 25.0), code(0, 0, 0, 0));
    }

    #[test]
    fn drop_frame_leaves_out_numbers_and_keeps_the_clock() {
        let start = TimeCode {
            drop_frame: true,
            ..code(0, 0, 59, 29)
        };
        let next = advance(start, 1, 29.97);
        assert_eq!((next.minutes, next.seconds, next.frame), (1, 0, 2));
        let zero = TimeCode {
            drop_frame: true,
            ..code(0, 0, 0, 0)
        };
        // An hour of drop-frame code has 107,892 frames.
        let hour = advance(zero, 107_892, 29.97);
        assert_eq!(
            (hour.hours, hour.minutes, hour.seconds, hour.frame),
            (1, 0, 0, 0)
        );
        for step in [1, 17, 1_798, 1_800, 17_982, 100_001] {
            assert_eq!(advance(advance(zero, step, 29.97), -step, 29.97), zero);
            assert_eq!(
                advance(advance(zero, step - 1, 29.97), 1, 29.97),
                advance(zero, step, 29.97)
            );
        }
    }

    #[test]
    fn fast_rates_count_pairs() {
        let a = advance(code(0, 0, 0, 0), 1, 60.0);
        assert_eq!((a.frame, a.field_phase), (0, true));
        let b = advance(a, 119, 60.0);
        assert_eq!((b.seconds, b.frame, b.field_phase), (2, 0, false));
    }

    #[test]
    fn codes_are_read_as_movies_write_them() {
        assert_eq!(parse("10:59:58:20", 24.0), Some(code(10, 59, 58, 20)));
        let drop = parse("00:00:59;29", 29.97).unwrap();
        assert!(drop.drop_frame && drop.frame == 29);
        let fast = parse("00:00:00:49", 50.0).unwrap();
        assert_eq!((fast.frame, fast.field_phase), (24, true));
        for text in [
            "",
            "1:2:3",
            "24:00:00:00",
            "00:00:00:24",
            "a:b:c:d",
            "0:0:0:300",
        ] {
            assert_eq!(parse(text, 24.0), None, "{text}");
        }
    }

    #[test]
    fn rates_are_the_fractions_that_pipelines_use() {
        assert_eq!(rational(24.0), (24, 1));
        assert_eq!(rational(30000.0 / 1001.0), (30000, 1001));
        assert_eq!(rational(29.97), (30000, 1001));
        assert_eq!(rational(23.976), (24000, 1001));
        assert_eq!(rational(12.5), (12500, 1000));
    }
}

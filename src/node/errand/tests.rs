use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::node::pixels::{Components, Depth, Layout};

/// A host that hands over a grey picture, as bright as its frame number.
#[derive(Default)]
struct Host {
    instance: u64,
    stop: Arc<AtomicBool>,
    refuse: bool,
    fetched: usize,
    cancel_at: Option<f64>,
}

impl super::Host for Host {
    fn instance(&self) -> u64 {
        self.instance
    }

    fn image(&mut self, _: Input, time: f64, see: &mut dyn FnMut(&Image<'_>)) -> bool {
        self.fetched += 1;
        if self.refuse || self.stop.load(Ordering::Relaxed) {
            return false;
        }
        let mut pixels = [time as f32; 4];
        let layout = Layout {
            row_bytes: 8,
            bounds: Rect::from([0, 0, 2, 2]),
            region: None,
            depth: Depth::Float,
            components: Components::Alpha,
            premultiplied: true,
        };
        // SAFETY: four floats, two rows of two.
        let image = unsafe { Image::new(pixels.as_mut_ptr().cast(), layout) };
        see(&image.unwrap());
        true
    }

    fn region(&mut self, _: Input, _: f64) -> Option<[f64; 4]> {
        None
    }

    fn aborted(&mut self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn progress(&mut self, _: &str, fraction: f64) -> bool {
        self.cancel_at.is_none_or(|at| fraction < at)
    }

    fn enable(&mut self, _: &str, _: bool) {}

    fn show(&mut self, _: &str, _: &str) {}
}

fn ask(frame: i32) -> Ask {
    Ask {
        input: Input::Source,
        frame,
        canvas: Rect::from([0, 0, 2, 2]),
        names: Components::Alpha.names(),
        cropped: false,
    }
}

/// Adds frames `1..=n` up.
fn sum(n: i32) -> Arc<Errand<f32>> {
    Errand::send(move |desk| {
        let mut sum = 0.0;
        for frame in 1..=n {
            sum += desk.fetch(ask(frame))?.data()[0];
        }
        Ok(sum)
    })
}

/// Works until it is given up.
fn endless(ended: &Arc<AtomicBool>) -> Arc<Errand<()>> {
    let ended = Arc::clone(ended);
    Errand::send(move |desk| {
        loop {
            if desk.task().step("Waiting", 1, 2).is_err() {
                ended.store(true, Ordering::Relaxed);
                return Err(Failure::Stopped);
            }
            thread::sleep(Duration::from_millis(1));
        }
    })
}

#[test]
fn pictures_are_fetched_on_the_hosts_thread() {
    let errand = sum(10);
    let mut host = Host::default();
    assert!(errand.join(0));
    assert_eq!(errand.attend(&mut host, false), Ok(55.0));
    assert_eq!(host.fetched, 10);
}

#[test]
fn one_errand_serves_all_who_wait() {
    let errand = sum(200);
    let fetched = AtomicUsize::new(0);
    thread::scope(|s| {
        for _ in 0..4 {
            assert!(errand.join(0));
            s.spawn(|| {
                let mut host = Host::default();
                assert_eq!(errand.attend(&mut host, false), Ok(20100.0));
                fetched.fetch_add(host.fetched, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(fetched.into_inner(), 200, "no frame is fetched twice");
}

#[test]
fn pictures_come_from_one_instance_and_without_it_the_others_begin_anew() {
    let errand = sum(200);
    let of = |instance| Host {
        instance,
        ..Host::default()
    };
    let fetched = AtomicUsize::new(0);
    thread::scope(|s| {
        for instance in [1, 2, 1, 3] {
            assert!(errand.join(instance));
            let (errand, fetched, mut host) = (&errand, &fetched, of(instance));
            s.spawn(move || {
                assert_eq!(errand.attend(&mut host, false), Ok(20100.0));
                match instance {
                    1 => fetched.fetch_add(host.fetched, Ordering::Relaxed),
                    _ => host.fetched,
                }
            });
        }
    });
    assert_eq!(fetched.into_inner(), 200, "another's picture was taken");

    let errand = sum(200);
    assert!(errand.join(1) && errand.join(2));
    let (mut one, mut two) = (of(1), of(2));
    one.stop.store(true, Ordering::Relaxed);
    assert_eq!(errand.wait(&mut one, false), None, "it stopped itself");
    assert_eq!(errand.wait(&mut two, false), Some(Err(Failure::Stopped)));
    assert_eq!(two.fetched, 0);
}

#[test]
fn a_thread_that_stops_is_gone_at_once_and_the_others_go_on() {
    let errand = sum(300);
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|s| {
        for stops in [true, false] {
            assert!(errand.join(0));
            let (errand, stop) = (&errand, Arc::clone(&stop));
            s.spawn(move || {
                let mut host = Host::default();
                if stops {
                    host.stop = stop;
                    assert_eq!(errand.attend(&mut host, true), Err(Failure::Stopped));
                } else {
                    assert_eq!(errand.attend(&mut host, true), Ok(45150.0));
                }
            });
        }
        // Whichever thread is asked next, a frame refused by the one that
        // stops is asked of the other.
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn work_that_nobody_waits_for_ends_and_is_not_joined() {
    let ended = Arc::new(AtomicBool::new(false));
    let errand = endless(&ended);
    assert!(errand.join(0));
    let mut host = Host::default();
    let stop = Arc::clone(&host.stop);
    let timer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        stop.store(true, Ordering::Relaxed);
        Instant::now()
    });
    assert_eq!(errand.attend(&mut host, false), Err(Failure::Stopped));
    let late = timer.join().unwrap().elapsed();
    assert!(
        late < Duration::from_millis(100),
        "{late:?} after the abort"
    );
    assert!(errand.is_over() && !errand.join(0));
    let begun = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        assert!(begun.elapsed() < Duration::from_secs(5), "it goes on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_artist_cancels_at_the_progress_bar() {
    let errand = endless(&Arc::default());
    assert!(errand.join(0));
    let mut host = Host {
        cancel_at: Some(0.4),
        ..Host::default()
    };
    assert_eq!(errand.attend(&mut host, true), Err(Failure::Stopped));
}

#[test]
fn a_missing_picture_and_a_panic_become_sentences() {
    let errand = sum(1);
    assert!(errand.join(0));
    let mut host = Host {
        refuse: true,
        ..Host::default()
    };
    match errand.attend(&mut host, false) {
        Err(Failure::Message(m)) => assert!(m.contains("frame 1") && m.contains("Plate file")),
        other => panic!("{other:?}"),
    }
    let errand: Arc<Errand<()>> = Errand::send(|_| panic!("on purpose"));
    assert!(errand.join(0));
    let result = errand.attend(&mut Host::default(), false);
    assert!(matches!(result, Err(Failure::Message(m)) if m.contains("Clear")));
}

//! The node in a small host of its own. What real hosts do is tested in
//! `tests/`, with the headless host; here are the cases that it cannot show.

mod host;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use host::{Shot, TestHost, is_of, picture, same_motion};

#[test]
fn kept_frames_are_the_plates_bits_and_made_ones_come_out_the_same_again() {
    let shot = Shot::new((72, 48), [1.0, 60.0]);
    let mut host = shot.host();
    assert_eq!(shot.good(3, &mut host), picture(0, 3, (72, 48)));
    assert_eq!(host.fetched, [3], "nothing is studied for a kept frame");
    assert_eq!(shot.node.identity(&shot.scene, 3.0), Some(3));
    assert_eq!(shot.node.identity(&shot.scene, 55.0), None);
    let made = shot.good(55, &mut host);
    assert!(is_of(0, &made, (72, 48)));
    shot.good(40, &mut host);
    assert_eq!(shot.good(55, &mut host), made);
    // What a frame needs is announced, and is what is fetched.
    host.fetched.clear();
    shot.good(55, &mut host);
    let needs = shot.node.needs(&shot.scene, 55.0).source;
    assert!(needs.len() <= 4 && needs.iter().all(|f| host.fetched.contains(f)));
    // Another process, by what the store has; then one without.
    known::known().clear();
    host.fetched.clear();
    assert_eq!(shot.good(55, &mut host), made);
    assert!(host.fetched.len() < 15, "the plate was not read again");
}

#[test]
fn a_frame_that_is_learned_from_a_guide_and_subjects_announces_theirs() {
    let mut shot = Shot::new((64, 36), [1.0, 30.0]);
    shot.set("engine", "", 1.0, 0.0);
    shot.set("mode", "", 7.0, 0.0);
    shot.scene.subjects[0].connected = true;
    shot.scene.subjects[2].connected = true;
    let needs = shot.node.needs(&shot.scene, 12.0);
    assert_eq!(
        (&needs.source[..], &needs.guide[..]),
        (&[12][..], &[12][..])
    );
    let none: [Vec<i32>; 3] = Default::default();
    assert_eq!(needs.subjects, none, "a subject without a text is none");
    shot.set("subject3Prompt", "a red ball", 0.0, 0.0);
    let needs = shot.node.needs(&shot.scene, 12.0);
    assert_eq!(needs.subjects, [vec![], vec![], vec![12]]);
}

#[test]
fn a_change_before_the_node_is_noticed_though_nobody_told() {
    let shot = Shot::new((73, 48), [1.0, 60.0]);
    let mut host = shot.host();
    let first = shot.good(50, &mut host);
    host.look = 1;
    let changed = shot.good(50, &mut host);
    assert_ne!(changed, first);
    host.look = 0;
    assert_eq!(shot.good(50, &mut host), first);
    // As a process makes it that never saw the plate as it was before.
    known::known().clear();
    host.look = 1;
    assert_eq!(shot.good(50, &mut host), changed);
}

#[test]
fn two_plates_of_equal_facts_are_told_apart_however_renders_mix() {
    let shot = Shot::new((74, 48), [1.0, 60.0]);
    let (mut a, mut b) = (shot.host(), shot.host());
    b.look = 2;
    let first = (shot.good(45, &mut a), shot.good(45, &mut b));
    for _ in 0..2 {
        assert_eq!(shot.good(45, &mut a), first.0);
        assert_eq!(shot.good(45, &mut b), first.1);
    }
    a.fetched.clear();
    shot.good(45, &mut a);
    assert!(a.fetched.len() < 15, "neither pushes the other out");
}

#[test]
fn plates_that_are_studied_at_once_are_read_each_by_its_own_node() {
    let shots = [(); 2].map(|()| Shot::new((84, 48), [1.0, 60.0]));
    let (begin, shots) = (std::sync::Barrier::new(2), &shots);
    std::thread::scope(|s| {
        for (shot, look) in shots.iter().zip([0, 3]) {
            let (begin, slow) = (&begin, || std::thread::sleep(Duration::from_millis(1)));
            s.spawn(move || {
                let mut host = TestHost {
                    look,
                    meanwhile: &slow,
                    ..shot.host()
                };
                begin.wait();
                assert!(is_of(look, &shot.good(52, &mut host), (84, 48)));
                for frame in 1..=30 {
                    assert!(host.fetched.contains(&frame), "{frame} of plate {look}");
                }
            });
        }
    });
}

#[test]
fn a_node_goes_on_where_the_one_that_studied_its_plate_stops() {
    let shots = [(); 2].map(|()| Shot::new((86, 48), [1.0, 60.0]));
    let (asked, shots) = (AtomicUsize::new(0), &shots);
    let made = std::thread::scope(|s| {
        s.spawn(|| {
            let slow = || {
                asked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(4));
            };
            let mut host = TestHost {
                stop_after: Some(25),
                meanwhile: &slow,
                ..shots[0].host()
            };
            assert_eq!(shots[0].render(52, &mut host).0.status, Status::Aborted);
        });
        // Until the study is under way.
        while asked.load(Ordering::Relaxed) < 8 {
            std::thread::yield_now();
        }
        shots[1].good(52, &mut shots[1].host())
    });
    assert!(is_of(0, &made, (86, 48)));
}

#[test]
fn a_host_that_gives_no_frame_twice_alike_still_gets_a_take() {
    let shot = Shot::new((75, 48), [1.0, 60.0]);
    let count = AtomicUsize::new(0);
    let mut host = shot.host();
    let mut host = TestHost {
        flicker: Some(&count),
        fetched: std::mem::take(&mut host.fetched),
        ..host
    };
    shot.good(50, &mut host);
    host.fetched.clear();
    shot.good(51, &mut host);
    assert!(host.fetched.len() < 15, "and is not studied for each frame");
}

#[test]
fn a_take_judged_at_half_scale_is_the_one_made_at_full() {
    let shot = Shot::new((96, 184), [1.0, 60.0]);
    let mut host = shot.host();
    host.scale = 0.5;
    let half = shot.good(52, &mut host);
    host.scale = 1.0;
    host.fetched.clear();
    let full = shot.good(52, &mut host);
    assert!(host.fetched.len() < 15, "the plate was not studied again");
    assert!(same_motion(&half, &full, (48, 92)));
    // A thumbnail is shown by the take that is known, and makes none for others.
    host.scale = 0.05;
    host.fetched.clear();
    shot.good(52, &mut host);
    assert!(host.fetched.len() < 15);
}

#[test]
fn scales_that_ask_at_once_get_one_take() {
    let shot = Shot::new((100, 184), [1.0, 60.0]);
    let render = |scale| {
        let mut host = shot.host();
        host.scale = scale;
        shot.good(52, &mut host)
    };
    let (half, _) = std::thread::scope(|s| {
        let (half, full) = (s.spawn(|| render(0.5)), s.spawn(|| render(1.0)));
        (half.join().unwrap(), full.join().unwrap())
    });
    // Whichever decided first, from now on it is one take.
    let (half_again, full) = (render(0.5), render(1.0));
    assert!(same_motion(&half_again, &full, (50, 92)));
    assert_eq!(half, half_again);
}

#[test]
fn a_thumbnail_decides_nothing_for_the_full_size() {
    let shot = Shot::new((98, 184), [1.0, 60.0]);
    let mut host = shot.host();
    host.scale = 0.05;
    shot.good(52, &mut host);
    host.scale = 1.0;
    host.fetched.clear();
    shot.good(52, &mut host);
    assert!(host.fetched.len() >= 30, "studied again");
}

#[test]
fn samples_that_are_no_numbers_are_replaced_where_frames_are_made_and_said() {
    let shot = Shot::new((82, 48), [1.0, 60.0]);
    let mut host = shot.host();
    host.broken = true;
    let (report, data) = shot.render(50, &mut host);
    assert_eq!(report.status, Status::Done);
    assert!(
        report.message.contains("not a number"),
        "{}",
        report.message
    );
    assert!(report.warning && data.iter().all(|v| v.is_finite()));
    let (report, data) = shot.render(3, &mut host);
    assert_eq!(report.status, Status::Done);
    assert!(data[40].is_nan(), "a kept frame is kept");
}

#[test]
fn a_host_may_come_back_to_the_node_while_it_is_asked() {
    let shot = Shot::new((76, 48), [1.0, 60.0]);
    let (node, scene) = (&shot.node, &shot.scene);
    let again = move || {
        node.identity(scene, 50.0);
        node.needs(scene, 50.0);
        node.time_domain(scene);
    };
    let mut host = TestHost {
        meanwhile: &again,
        ..shot.host()
    };
    shot.good(50, &mut host);
}

#[test]
fn an_abort_is_answered_at_once_and_loses_nothing_to_others() {
    let shot = Shot::new((320, 180), [1.0, 60.0]);
    let mut host = shot.host();
    host.stop_after = Some(9);
    let (report, _) = shot.render(50, &mut host);
    assert_eq!(report.status, Status::Aborted);
    let late = host.stopped.unwrap().elapsed();
    assert!(late < Duration::from_millis(100), "{late:?}");
    // Many threads, one of which stops: the others get their frame, and the
    // plate is read once.
    let reads = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for i in 0..4 {
            let (shot, reads) = (&shot, &reads);
            s.spawn(move || {
                let mut host = shot.host();
                host.stop_after = (i == 0).then_some(3);
                let (report, _) = shot.render(50, &mut host);
                if i > 0 {
                    assert_eq!(report.status, Status::Done, "{}", report.message);
                }
                reads.lock().unwrap().extend(host.fetched);
            });
        }
    });
    let of = |frame| {
        reads
            .lock()
            .unwrap()
            .iter()
            .filter(|f| **f == frame)
            .count()
    };
    assert!(of(17) <= 1 + 4, "read once, then at most by each gather");
}

#[test]
fn without_a_matte_fill_passes_the_source_on_and_says_so_once() {
    let mut shot = Shot::new((77, 48), [0.0, 0.0]);
    shot.set("mode", "", 3.0, 0.0);
    let mut host = shot.host();
    let (report, data) = shot.render(5, &mut host);
    assert_eq!(report.status, Status::Failed);
    assert!(report.message.contains("Matte"), "{}", report.message);
    assert_eq!(data, picture(0, 5, (77, 48)));
    assert!(!report.told && shot.render(6, &mut host).0.told);
    shot.node.changed(
        &shot.scene,
        Change::Param("seed"),
        true,
        [1.0; 2],
        &mut host,
    );
    let report = shot.render(6, &mut host).0;
    assert!(!report.told, "told anew after a change");
}

#[test]
fn a_host_with_one_frame_is_told_of_the_plate_file() {
    let mut shot = Shot::new((78, 48), [1.0, 60.0]);
    shot.scene.temporal_access = false;
    let mut host = shot.host();
    shot.good(4, &mut host);
    let (report, data) = shot.render(50, &mut host);
    assert!(report.message.contains("Plate file"));
    assert_eq!(data, picture(0, 50, (78, 48)), "the current frame");
}

#[test]
fn generate_gets_the_take_ready_and_clear_forgets_it() {
    let shot = Shot::new((79, 48), [1.0, 60.0]);
    let mut host = shot.host();
    let press = |name, host: &mut TestHost<'_>| {
        shot.node
            .changed(&shot.scene, Change::Param(name), true, [1.0; 2], host)
    };
    assert_eq!(press("generate", &mut host).message, "");
    assert!(host.shown.contains("frames are made"), "{}", host.shown);
    assert!(host.shown.contains("lend"), "{}", host.shown);
    host.fetched.clear();
    shot.good(50, &mut host);
    assert!(host.fetched.len() < 15);
    press("clear", &mut host);
    host.fetched.clear();
    shot.good(50, &mut host);
    assert!(host.fetched.len() >= 30, "the plate is studied anew");
}

#[test]
fn a_change_shows_what_the_take_comes_to_and_fetches_no_picture() {
    let shot = Shot::new((83, 48), [1.0, 72.0]);
    let mut host = shot.host();
    let change = |name, host: &mut TestHost<'_>| {
        shot.node
            .changed(&shot.scene, Change::Param(name), true, [1.0; 2], host);
        std::mem::take(&mut host.shown)
    };
    let told = change("seed", &mut host);
    assert!(told.contains("Estimate: 5 blocks"), "{told}");
    assert!(told.contains("of memory") && told.contains("in the store"));
    assert!(host.fetched.is_empty());
    // Once the machine is measured: what is decided takes no more time. Other tests
    // may clear what the process knows.
    let ready = "(0.0 s to study the plate, 0.0 s to decide";
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        change("generate", &mut host);
        if change("seed", &mut host).contains(ready) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{}", change("seed", &mut host));
}

#[test]
fn frames_outside_the_output_are_held_or_go_round() {
    let mut shot = Shot::new((80, 48), [10.0, 60.0]);
    let at = |shot: &Shot, t| order::Order::of(&shot.scene).unwrap().shown(t);
    assert_eq!(
        (at(&shot, -5.0), at(&shot, 500.0), at(&shot, 20.4)),
        (10, 60, 20)
    );
    shot.set("mode", "", 1.0, 0.0);
    assert_eq!((at(&shot, 61.0), at(&shot, 9.0)), (10, 60));
    assert_eq!(at(&shot, 1e300), at(&shot, 1e300), "no time is too far");
    assert_eq!(
        shot.node
            .time_domain(&shot.scene)
            .map(|r| (r.first, r.last)),
        Some((10, 60))
    );
}

#[test]
fn a_choice_of_a_later_version_is_refused_with_a_sentence() {
    let mut shot = Shot::new((81, 48), [1.0, 60.0]);
    shot.set("mode", "", 17.0, 0.0);
    let (report, _) = shot.render(50, &mut shot.host());
    assert!(report.message.contains("Mode"), "{}", report.message);
    shot.set("mode", "", 0.0, 0.0);
    shot.set("novelty", "", 9.0, 0.0);
    let (report, _) = shot.render(50, &mut shot.host());
    assert!(report.message.contains("Novelty"), "{}", report.message);
}

#[test]
fn an_artist_is_told_once_though_instances_come_and_go() {
    let told = |node: &Node, text: &str| {
        let report = node.once(Report::new(Status::Failed, text.to_owned()));
        assert_eq!(
            report.message, text,
            "for hosts that show it beside the node"
        );
        report.told
    };
    let text = "a sentence of this test alone";
    let first = Node::new();
    assert_eq!([told(&first, text), told(&first, text)], [false, true]);
    drop(first);
    let second = Node::new();
    assert_eq!(
        [told(&second, text), told(&second, "another")],
        [true, false]
    );
}

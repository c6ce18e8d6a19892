use std::{fs, time::Duration};

use super::{Member, alone, fresh};

/// The core time that threads of this process with one of these names have had.
fn core_time(names: &[&str]) -> Duration {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        // A thread that has ended meanwhile is none of the member's.
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        if names.contains(&name.trim_end()) {
            let times = fs::read_to_string(path.join("schedstat")).unwrap();
            nanoseconds += times.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanoseconds)
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn threads_that_wait_take_no_core_time() {
    let _alone = alone();
    let (mut member, ..) = Member::joined(&fresh("idle"), &fresh("producer"));
    let threads = ["kafka-reader", "kafka-reports"];
    let before = core_time(&threads);
    assert!(before > Duration::ZERO, "the threads have other names");
    // Waits that are no whole number of milliseconds once they are under way.
    (0..20).for_each(|_| assert_eq!(member.poll(100), []));
    let took = core_time(&threads) - before;
    assert!(took < Duration::from_millis(10), "{took:?} of two seconds");
    member.leave();
}

//! Jobs for render farms, carried out by the queues' own tools where those run
//! without a server.

mod exits;
mod faults;
mod opencue;
mod openjd;
mod python;
mod queues;
mod tools;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "../cli/work.rs"]
mod work;

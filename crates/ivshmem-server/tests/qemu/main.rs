//! Tests of the daemon with real QEMU, and with thousands of clients.
//!
//! The requirements of QEMU on a server (Q), and what crashes or confuses QEMU's own server (S), with their tests; a name
//! with `serving::` is in the other test program of this crate, one with `wire::` in the engine's own tests.
//!
//! | | | |
//! |---|---|---|
//! | Q1 | never accept and close, complete each handshake | `limits::a_server_that_stops_...`, `limits::a_qemu_whose_hot_plug_is_refused_...` |
//! | Q1b | begin the handshake at once | `crowd::a_qemu_takes_the_device_while_it_runs_...` |
//! | Q1c | refuse by the version | `limits::a_refused_qemu_...` |
//! | Q2, Q2b | no id comes back, one end for each | `client` checks every message; `churn::a_qemu_lives_through_...` |
//! | Q5, Q6 | sizes, sealed memory | `options::a_size_that_is_accepted_...` |
//! | Q7 | more vectors than the device has | `crowd::a_qemu_with_fewer_vectors_...` |
//! | Q8, Q9 | lowest id, order of the handshake | `churn::ids_start_again_...`, `client` checks the order |
//! | Q10, S17 | 256 vectors | `crowd::a_qemu_with_256_vectors_...` |
//! | Q12 | always all vectors | `client::agree`, which every test uses |
//! | S1 | connect and close | `churn::ten_thousand_...` |
//! | S2 | exit status | `options::a_server_that_cannot_start_...`, `serving::daemon` |
//! | S3 | a full socket loses nothing | `stopped::a_client_and_a_qemu_...` |
//! | S4, S6b | many peers with many vectors, descriptors beyond 1024 | `crowd::a_qemu_gets_every_vector_...` |
//! | S5 | interrupted calls | `stopped::a_server_that_is_itself_stopped_...` |
//! | S6 | descriptors used up | `limits::descriptors_used_up_...`, `limits::a_kernel_that_takes_no_more_...` |
//! | S7, S9 | a second server, a stale socket | `names::a_second_server_...`, `names::after_kill_minus_nine_...` |
//! | S8 | sizes above 32 bits | `options` |
//! | S10 | permissions | `admission`, `names::only_users_whom_the_socket_admits_...` |
//! | S11 | truncated memory | `names::no_client_can_change_...` |
//! | S13 | limits for each user, and hostile ones | `hostile`, `admission`, `churn::sixty_five_thousand_...`, `limits::clients_that_do_not_read_...` |
//! | S14 | pid file | `names::a_pid_file_...` |
//! | S15 | signals at any moment | `names::a_signal_at_any_moment_...` |
//! | S16 | ids spent | `churn::sixty_five_thousand_...`, `wire::server` |
//!
//! `rules` tests what QEMU does if a server breaks Q1, Q1b, Q2, Q2b or Q5, and what no server can prevent: the unplugging
//! of a device after a peer has left (Q2c), and the server's end (Q3). SECURITY.md describes that every client has all
//! eventfds (S12).
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests say what they measure, in folders that nobody changes"
)]
#![expect(clippy::unwrap_used, reason = "a test may, and all of this is tests")]

mod admission;
mod churn;
mod client;
mod crowd;
mod daemon;
mod descriptors;
mod hostile;
mod limits;
mod machine;
mod member;
mod names;
mod options;
mod process;
mod rules;
mod stopped;

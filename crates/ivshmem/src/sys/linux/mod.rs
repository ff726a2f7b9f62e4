//! Linux: rustix underneath, so most of this is safe code already.

pub mod eventfd;
mod ioctl;
pub mod socket;

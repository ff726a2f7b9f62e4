//! Windows: a shell for now; the devices of Windows guests come with the driver client.

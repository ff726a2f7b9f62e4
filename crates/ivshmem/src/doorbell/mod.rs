//! Interrupts: sending (ring), receiving (wait, dispatch), and who is there (peers).

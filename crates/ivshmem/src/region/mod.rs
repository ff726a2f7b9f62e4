//! The owner of a mapping, and the checked views through which every access to shared bytes goes.

//! What Ctrl-C does: end at once and leave nothing behind, or, where a command asks for it, end soon and keep what is
//! there.

use std::sync::atomic::{AtomicBool, Ordering};

/// As shells count a process that an interrupt ended.
pub const EXIT_CODE: u8 = 130;

static DEFERRED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Sets the handler. Where none can be set, an interrupt leaves temporary files behind, and that is all.
pub fn install() {
    let _ = ctrlc::set_handler(|| {
        // A second one means it.
        if DEFERRED.load(Ordering::SeqCst) && !ASKED.swap(true, Ordering::SeqCst) {
            return;
        }
        socc::scratch::remove_all();
        std::process::exit(i32::from(EXIT_CODE));
    });
}

/// As long as this lives, the first interrupt only makes [`asked`] true.
pub struct Deferred(());

impl Deferred {
    /// Begins.
    pub fn new() -> Self {
        DEFERRED.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        DEFERRED.store(false, Ordering::SeqCst);
    }
}

/// Whether an interrupt came that was deferred.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

//! The folder where `socc setup` puts libraries: `$XDG_CACHE_HOME/socc/NAME/VERSION/LIBRARY`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of all versions of `name`; `None` where the user has no home.
pub(crate) fn root(name: &str) -> Option<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .or_else(|| set("LOCALAPPDATA"))
        .map(|cache| cache.join("socc").join(name))
}

/// The library of the highest version in `root`, by whether a file name is its.
pub(crate) fn newest(root: &Path, is_library: fn(&str) -> bool) -> Option<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
    for version in fs::read_dir(root).ok()?.flatten() {
        let name = version.file_name();
        let Some(folder) = name.to_str() else {
            continue;
        };
        let parts = folder
            .split('.')
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>();
        // A folder that is no version is a setup under way.
        let Ok(parts) = parts else { continue };
        if let Some(path) = library_in(&version.path(), is_library) {
            found.push((parts, path));
        }
    }
    found.into_iter().max().map(|(_, path)| path)
}

/// The library in a folder.
pub(crate) fn library_in(folder: &Path, is_library: fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .filter(|e| e.file_name().to_str().is_some_and(is_library))
        .map(|e| e.path())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_cached_version_wins_and_unfinished_ones_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["1.9.0", "1.32.0", ".setup-zzz", "2.0.0"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            if folder != "2.0.0" {
                fs::write(root.path().join(folder).join("libx.so.1"), "").unwrap();
            }
        }
        let is_library = |name: &str| name.starts_with("libx.so");
        let path = newest(root.path(), is_library).unwrap();
        assert_eq!(path, root.path().join("1.32.0").join("libx.so.1"));
        assert_eq!(newest(&root.path().join("absent"), is_library), None);
    }
}

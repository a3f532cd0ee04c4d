//! Series of binary PPM pictures, as `ffmpeg -f image2pipe -c:v ppm` writes them.

use std::io::{self, BufRead, Read};

use image::RgbImage;

use super::{Frame, Picker, Selection};

/// What every picture begins with.
pub(super) const MAGIC: &[u8] = b"P6";
/// Longest header, in bytes: a longer one is none, and not to be read to its end.
const HEADER_BYTES: u64 = 4096;
/// Largest picture, in bytes: a header that claims more is damaged.
const PICTURE_BYTES: u64 = 1 << 30;

/// The selected ones of a series, named by their place in it. It is read no further than needed.
pub(super) struct Pictures<R> {
    input: R,
    picker: Picker,
}

impl<R: BufRead> Pictures<R> {
    pub(super) fn new(input: R, selection: &Selection) -> Self {
        Self {
            input,
            picker: Picker::new(selection),
        }
    }

    /// The next selected picture.
    pub(super) fn read(&mut self) -> io::Result<Option<Frame>> {
        while !self.picker.is_done() {
            let Some((width, height)) = header(&mut self.input)? else {
                break;
            };
            let bytes = u64::from(width) * u64::from(height) * 3;
            let mut picture = self.input.by_ref().take(bytes);
            let (index, taken) = (self.picker.index(), self.picker.takes());
            self.picker.pass();
            if !taken {
                if io::copy(&mut picture, &mut io::sink())? < bytes {
                    return Err(cut_off());
                }
                continue;
            }
            // What the header claims need not be there.
            let mut pixels = Vec::with_capacity(bytes.min(1 << 24) as usize);
            picture.read_to_end(&mut pixels)?;
            let image = RgbImage::from_raw(width, height, pixels).ok_or_else(cut_off)?;
            let name = format!("{index:05}");
            return Ok(Some(Frame { name, image }));
        }
        Ok(None)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the last picture is not complete",
    )
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Width and height of the next picture, or nothing at the end.
fn header(input: &mut impl BufRead) -> io::Result<Option<(u32, u32)>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut input = input.take(HEADER_BYTES);
    let mut magic = Vec::new();
    input
        .by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)?;
    if magic != MAGIC {
        let magic = magic.escape_ascii();
        return Err(bad(format!("\"{magic}\" begins no binary PPM picture")));
    }
    let [width, height, depth] = [
        number(&mut input)?,
        number(&mut input)?,
        number(&mut input)?,
    ];
    if depth != 255 {
        return Err(bad(format!(
            "a PPM picture has levels up to {depth}; they must go to 255"
        )));
    }
    let bytes = u64::from(width) * u64::from(height) * 3;
    if bytes == 0 || bytes > PICTURE_BYTES {
        return Err(bad(format!("a PPM picture claims to be {width}x{height}")));
    }
    Ok(Some((width, height)))
}

/// The next number of a header, and the one white space behind it.
fn number(input: &mut impl BufRead) -> io::Result<u32> {
    let mut digits = String::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => e,
        })?;
        match byte[0] {
            b'#' if digits.is_empty() => {
                input.read_until(b'\n', &mut Vec::new())?;
            }
            space if space.is_ascii_whitespace() => {
                if !digits.is_empty() {
                    break;
                }
            }
            other => digits.push(char::from(other)),
        }
    }
    let number = digits.parse();
    number.map_err(|_| {
        let digits: String = digits.chars().take(16).collect();
        bad(format!("{digits:?} in a PPM picture's header is no number"))
    })
}

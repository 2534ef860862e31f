//! Jute, ZooKeeper's encoding: big-endian integers; strings, buffers and vectors are prefixed with their lengths.

/// A record that ends early, or contains an invalid length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads values from the front of a record. As in ZooKeeper, bytes after the last value are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of the record `bytes`.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A boolean: one byte, 0 for false.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.array::<1>()? != [0])
    }

    /// An integer of 32 bits.
    pub(crate) fn int(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// An integer of 64 bits.
    pub(crate) fn long(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A buffer; `None` for length -1.
    pub(crate) fn buffer(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                let (buffer, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                Ok(Some(buffer))
            }
        }
    }

    /// A string; `None` for length -1. Bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn optional_string(&mut self) -> Result<Option<String>, Malformed> {
        Ok(self.buffer()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A string that must be present.
    pub(crate) fn string(&mut self) -> Result<String, Malformed> {
        self.optional_string()?.ok_or(Malformed)
    }

    /// A vector; `None` for length -1. Memory grows with the elements that are read, not with the length that the record
    /// claims.
    pub(crate) fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            length => (0..length).map(|_| element(self)).collect::<Result<_, _>>().map(Some),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// Appends values to a record.
pub(crate) trait JuteWriter {
    /// A boolean.
    fn bool(&mut self, value: bool);
    /// An integer of 32 bits.
    fn int(&mut self, value: i32);
    /// An integer of 64 bits.
    fn long(&mut self, value: i64);
    /// A buffer, with length -1 for `None`.
    fn buffer(&mut self, value: Option<&[u8]>);
    /// A string.
    fn string(&mut self, value: &str);
    /// A vector.
    fn vector<T>(&mut self, elements: &[T], element: impl Fn(&mut Self, &T));
}

impl JuteWriter for Vec<u8> {
    fn bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn int(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn long(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                self.int(length(bytes.len()));
                self.extend_from_slice(bytes);
            }
        }
    }

    fn string(&mut self, value: &str) {
        self.buffer(Some(value.as_bytes()));
    }

    fn vector<T>(&mut self, elements: &[T], element: impl Fn(&mut Self, &T)) {
        self.int(length(elements.len()));
        elements.iter().for_each(|it| element(self, it));
    }
}

/// Appends a frame: the length of `body`, then `body`.
pub(crate) fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.int(0);
    body(out);
    let written = length(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&written.to_be_bytes());
}

/// A length as it is transmitted. Replies stay below 2 GiB, because a znode has at most 1 MB of data.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written() {
        let mut record = Vec::new();
        record.bool(true);
        record.int(-7);
        record.long(i64::MIN);
        record.buffer(None);
        record.buffer(Some(&[]));
        record.string("größe");
        record.vector(&[1, 2, 3], |out, it| out.int(*it));
        let mut reader = Reader::new(&record);
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.int(), Ok(-7));
        assert_eq!(reader.long(), Ok(i64::MIN));
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(&[][..])));
        assert_eq!(reader.string().as_deref(), Ok("größe"));
        assert_eq!(reader.vector(Reader::int), Ok(Some(vec![1, 2, 3])));
        assert!(reader.0.is_empty());
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for length in [5, i32::MAX, -2, i32::MIN] {
            let record = [&length.to_be_bytes()[..], b"1234"].concat();
            assert_eq!(Reader::new(&record).buffer(), Err(Malformed), "{length}");
        }
        let many = [&i32::MAX.to_be_bytes()[..], &[0; 8]].concat();
        assert_eq!(Reader::new(&many).vector(Reader::int), Err(Malformed));
        assert_eq!(Reader::new(&(-1_i32).to_be_bytes()).string(), Err(Malformed));
        // As in ZooKeeper, a vector with a negative length other than -1 is empty.
        assert_eq!(Reader::new(&(-2_i32).to_be_bytes()).vector(Reader::int), Ok(Some(vec![])));
    }
}

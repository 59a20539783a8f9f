//! What is said to etcd: the messages of its `rpc.proto` and `kv.proto` (v3), by field number, as
//! far as they are used here. Fields left out are skipped by protobuf's own rules.

/// `etcdserverpb.ResponseHeader`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResponseHeader {
    /// Of the whole store after the request; never 0.
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

/// `etcdserverpb.PutRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`, and `TxnResponse` as far as its header.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// `etcdserverpb.RangeRequest` of one key; `serializable` left out means linearizable.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// `mvccpb.KeyValue`
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
}

/// `etcdserverpb.RangeResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
}

/// `etcdserverpb.RequestOp`, of whose choices only the put is used.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestOp {
    #[prost(message, optional, tag = "2")]
    pub request_put: Option<PutRequest>,
}

/// `etcdserverpb.TxnRequest` without conditions: `success` is what happens.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_put_has_the_bytes_of_the_specification() {
        let put = PutRequest {
            key: b"k".into(),
            value: b"v".into(),
        };
        // Field 1 and 2, each of wire type 2 (length-delimited).
        assert_eq!(put.encode_to_vec(), b"\x0a\x01k\x12\x01v");
        let in_txn = TxnRequest {
            success: vec![RequestOp {
                request_put: Some(put),
            }],
        };
        assert_eq!(
            in_txn.encode_to_vec(),
            b"\x12\x08\x12\x06\x0a\x01k\x12\x01v"
        );
    }

    #[test]
    fn a_range_response_is_read_past_unknown_fields() {
        // header { member_id: 5, revision: 9 }, kvs { key "k", version 1, value "v" }, count 1
        let bytes = b"\x0a\x04\x10\x05\x18\x09\x12\x08\x0a\x01k\x20\x01\x2a\x01v\x20\x01";
        let response = RangeResponse::decode(&bytes[..]).unwrap();
        assert_eq!(response.header.unwrap().revision, 9);
        assert_eq!(response.kvs[0].key, b"k");
        assert_eq!(response.kvs[0].value, b"v");
    }
}

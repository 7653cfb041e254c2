/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a packet was dropped: one line each makes the enumeration, the counter and
 * the words of logs and documents.
 */
#ifndef SALLYPORT_ENGINE_DROP_H
#define SALLYPORT_ENGINE_DROP_H

#define DROP_REASONS(_)                                                                                \
	_(MALFORMED, "malformed", "malformed IP header")                                               \
	_(PORTS, "ports", "datagram ends before its ports, which a policy asks for")                   \
	_(OPTIONS, "options", "malformed options of IPv4, or of a kind that AH cannot protect")        \
	_(EXTENSION, "extension", "IPv6 extension headers malformed or too many")                      \
	_(FRAGMENT, "fragment", "fragment of what can only be judged, protected or opened whole")      \
	_(REASSEMBLY, "reassembly", "fragments that make no datagram")                                 \
	_(NO_ROUTE, "no-route", "no route to where the packet must go")                                \
	_(SOURCE_ROUTE, "source-route", "a policy about the first hop of its source route forbids it in clear") \
	_(POLICY_DISCARD, "policy-discard", "a policy says discard")                                   \
	_(NO_SA_OUT, "no-sa-out", "policy requires protection and there is no SA for it")              \
	_(SEQ_EXHAUSTED, "seq-exhausted", "sequence numbers of the SA are used up")                    \
	_(TOO_BIG, "too-big", "too big once protected")                                                \
	_(NO_ROOM, "no-room", "no room in the packet buffer")                                          \
	_(NO_RANDOM, "no-random", "no random bytes for an IV")                                         \
	_(CRYPTO, "crypto", "the cryptographic library refused the packet or the key")                  \
	_(NOT_PROVIDED, "not-provided", "an SA or policy asks for what this engine does not provide") \
	_(NO_SA_IN, "no-sa-in", "no SA for this SPI, protocol and destination")                        \
	_(SA_SPENT, "sa-spent", "the SA is past its hard limit of bytes or packets")                   \
	_(SPI_RESERVED, "spi-reserved", "reserved SPI")                                                \
	_(TRUNCATED, "truncated", "AH or ESP header truncated")                                        \
	_(AH_LENGTH, "ah-length", "AH length does not fit the SA")                                     \
	_(ESP_LENGTH, "esp-length", "ESP payload is no multiple of the cipher's block")                \
	_(ESP_PADDING, "esp-padding", "ESP padding is not what the SA says: a wrong key, or damaged")  \
	_(REPLAY, "replay", "sequence number already seen or too old")                                 \
	_(ICV, "icv", "integrity check failed")                                                        \
	_(IPCOMP_CPI, "ipcomp-cpi", "compressed, without an SA of this CPI or a policy about ipcomp")   \
	_(IPCOMP_DATA, "ipcomp-data", "compressed data are damaged, or too long once decompressed")   \
	_(IPCOMP_NESTED, "ipcomp-nested", "compressed more than once")                                \
	_(ENCAPSULATION, "encapsulation", "ESP comes in UDP, or not, against what its SA says")         \
	_(KEEPALIVE, "keepalive", "a byte that keeps a NAT's mapping alive")                          \
	_(TCP_MALFORMED, "tcp-malformed", "TCP header or options malformed, where they are to be signed") \
	_(TCP_OPTIONS, "tcp-options", "no room for a signature among the options of TCP")             \
	_(TCP_UNSIGNED, "tcp-unsigned", "a segment of TCP without the signature that its SA wants")   \
	_(DUMMY, "dummy", "dummy packet (next header 59)")                                             \
	_(TUNNEL_PAYLOAD, "tunnel-payload", "no IP packet in a tunnel's packet")                      \
	_(INNER_MALFORMED, "inner-malformed", "the packet in a tunnel has a malformed header or checksum") \
	_(INNER_SOURCE, "inner-source", "the packet in a tunnel comes from a loopback or multicast address") \
	_(INNER_ECN, "inner-ecn", "congestion was marked on a packet that knows no ECN")              \
	_(TUNNEL_POLICY, "tunnel-policy", "the policy for the packet names no such tunnel")           \
	_(NESTED, "nested", "too many nested IPsec headers")                                           \
	_(DISABLED, "disabled", "a tunable says that this protocol is not to be used")                \
	_(LOOP, "loop", "protected already, and routed into a virtual interface")                      \
	_(INTERFACE_DOWN, "interface-down", "its virtual interface is down")                           \
	_(POLICY_CLEAR, "policy-clear", "policy requires protection that the packet did not have")

enum drop_reason {
#define _(reason, name, text) DROP_##reason,
	DROP_REASONS(_)
#undef _
	DROP_REASON_COUNT
};

/* "no SA for this SPI, protocol and destination" */
const char *drop_text(enum drop_reason reason);
/* "no-sa-in": stable, for scripts. */
const char *drop_name(enum drop_reason reason);

#endif

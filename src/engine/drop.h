/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a packet was dropped: one line each makes the enumeration, the counter and
 * the words of logs and documents.
 */
#ifndef SALLYPORT_ENGINE_DROP_H
#define SALLYPORT_ENGINE_DROP_H

#define DROP_REASONS(_)                                                                  \
	_(MALFORMED, "malformed IP header")                                              \
	_(EXTENSION, "IPv6 extension headers malformed or too many")                     \
	_(FRAGMENT, "fragment: transport mode protects whole datagrams only")            \
	_(POLICY_DISCARD, "a policy says discard")                                       \
	_(NO_SA_OUT, "policy requires protection and there is no SA for it")             \
	_(SEQ_EXHAUSTED, "sequence numbers of the SA are used up")                       \
	_(TOO_BIG, "too big once protected")                                             \
	_(NO_ROOM, "no room in the packet buffer")                                       \
	_(NO_RANDOM, "no random bytes for an IV")                                        \
	_(CRYPTO, "the cryptographic library refused the packet")                        \
	_(NOT_PROVIDED, "the SA asks for something that this engine does not provide")   \
	_(NO_SA_IN, "no SA for this SPI, protocol and destination")                      \
	_(SPI_RESERVED, "reserved SPI")                                                  \
	_(TRUNCATED, "AH or ESP header truncated")                                       \
	_(AH_LENGTH, "AH length does not fit the SA")                                    \
	_(ESP_LENGTH, "ESP payload is no multiple of the cipher's block")                \
	_(ESP_PADDING, "ESP padding is longer than the payload")                         \
	_(REPLAY, "sequence number already seen or too old")                             \
	_(ICV, "integrity check failed")                                                 \
	_(DUMMY, "dummy packet (next header 59)")                                        \
	_(NESTED, "too many nested IPsec headers")                                       \
	_(POLICY_CLEAR, "policy requires protection that the packet did not have")

enum drop_reason {
#define _(name, text) DROP_##name,
	DROP_REASONS(_)
#undef _
	DROP_REASON_COUNT
};

/* "no SA for this SPI, protocol and destination" */
const char *drop_text(enum drop_reason reason);
/* "NO_SA_IN" in lower case with dashes, "no-sa-in": stable, for scripts. */
const char *drop_name(enum drop_reason reason);

#endif

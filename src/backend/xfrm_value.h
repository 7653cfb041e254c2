/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values that SAs and policies share, between struct keymsg and the structs of linux/xfrm.h.
 * Addresses, SPIs and ports are in network order there, everything else in host order; what
 * the kernel calls infinite is 0 here. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_XFRM_VALUE_H
#define SALLYPORT_BACKEND_XFRM_VALUE_H

#include <linux/xfrm.h>

#include "backend/xfrm.h"

xfrm_address_t xfrm_address_of(const struct addr *a);
struct addr xfrm_addr_from(const xfrm_address_t *x, int family);
/* The end of an SA. */
struct keymsg_addr xfrm_end_of(const xfrm_address_t *x, int family);

/* m's hard and soft limits, and into them. */
struct xfrm_lifetime_cfg xfrm_limits_of(const struct keymsg *m);
void xfrm_decode_limits(struct keymsg *m, const struct xfrm_lifetime_cfg *l);
struct keymsg_lifetime xfrm_current_of(const struct xfrm_lifetime_cur *c);

/* enum policy_mode */
uint8_t xfrm_decode_mode(uint8_t mode);

/*
 * Netlink aligns messages to 4 bytes, and some of the structs want 8: they are copied in and
 * out, never pointed to.
 */
void xfrm_put_head(struct nlmsghdr *h, const void *head, size_t len);
/* An attribute of at least min bytes, or NULL; len may be NULL. off: where attributes begin. */
const void *xfrm_attr_of(const struct nlmsghdr *h, size_t off, uint16_t type, size_t min, size_t *len);

/* The label of a security module, where there is one. */
void xfrm_put_label(struct nlmsghdr *h, const struct keymsg *m);
void xfrm_decode_label(struct keymsg *m, const struct nlmsghdr *h, size_t off);

#endif

#include "text/print.h"
void print_sa_short(FILE *out, const struct keymsg *m, const struct print_opts *o){(void)out;(void)m;(void)o;}
void print_short_head(FILE *out){(void)out;}
void print_hex(FILE *out, const uint8_t *buf, size_t len){(void)out;(void)buf;(void)len;}
void print_sa_command(FILE *out, const struct keymsg *m){(void)out;(void)m;}
void print_policy_command(FILE *out, const struct keymsg *m, const struct print_opts *o){(void)out;(void)m;(void)o;}

#include "text/print.h"
void print_sa_command(FILE *out, const struct keymsg *m){(void)out;(void)m;}
void print_policy_command(FILE *out, const struct keymsg *m, const struct print_opts *o){(void)out;(void)m;(void)o;}

# SPDX-License-Identifier: Apache-2.0
# Perl's -M of a Thaw function: gives rand() a new seed in each invocation.
#
# A generator that was seeded before the ready point is the same in every clone. rand() and srand() are replaced for
# all code that is compiled after this: the first call in a process of another id seeds the generator from the system,
# unless the program has called srand() with a value. shuffle() and sample() of List::Util take the same way until then,
# by the variable that List::Util has for it; the numbers are those that they would draw themselves.
package Thaw::Seed;

# The program's environment and search path are as without the hook.
@INC = grep { $_ ne '/usr/lib/thaw/hooks' } @INC;
delete $INC{'thaw_seed.pm'};
if (defined $ENV{PERL5OPT}) {
    $ENV{PERL5OPT} =~ s{^-I/usr/lib/thaw/hooks -Mthaw_seed ?}{};
    delete $ENV{PERL5OPT} if $ENV{PERL5OPT} eq '';
}

my $boot = $$; # Perl asks for the id each time
my $thawed = 0;
my $explicit = 0;

sub _look {
    return if $thawed || $$ == $boot;
    $thawed = 1;
    undef $List::Util::RAND if defined $List::Util::RAND && $List::Util::RAND == \&_rand;
    CORE::srand() unless $explicit;
}

sub _rand (;$) {
    _look() unless $thawed;
    return @_ ? CORE::rand($_[0]) : CORE::rand();
}

*CORE::GLOBAL::rand = \&_rand;
*CORE::GLOBAL::srand = sub (;$) {
    _look() unless $thawed;
    $explicit = @_ && defined $_[0];
    return @_ ? CORE::srand($_[0]) : CORE::srand();
};
$List::Util::RAND = \&_rand;

1;

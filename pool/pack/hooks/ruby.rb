# SPDX-License-Identifier: Apache-2.0
# Ruby's -r of a Thaw function: gives the default random generator a new seed in each invocation.
#
# Ruby seeds the generator of Kernel#rand, Random.rand, Array#shuffle and Array#sample when it starts, so its numbers
# would be the same in every clone. Each of these methods is replaced by one that looks whether the process has another
# id than at boot (in /proc/self, since newer Rubies keep a copy of the id). The first that finds so puts Ruby's own
# methods back and seeds the generator from the system, unless the program has called srand with a value. Objects of
# Random that the program made keep their state; SecureRandom and Random.urandom need nothing.
lambda do
  boot = File.readlink("/proc/self") rescue next
  option = "-r#{__FILE__}"
  if (options = ENV["RUBYOPT"])&.start_with?(option)
    rest = options[option.length..].lstrip
    ENV["RUBYOPT"] = rest.empty? ? nil : rest
  end

  thawed = explicit = false
  srand = Random.method(:srand).unbind
  replaced = []
  quietly = lambda do |&work|
    verbose, $VERBOSE = $VERBOSE, nil
    begin
      work.call
    ensure
      $VERBOSE = verbose
    end
  end
  look = lambda do
    next if thawed || File.readlink("/proc/self") == boot
    thawed = true
    quietly.call do
      replaced.each do |owner, name, original, hidden, own|
        # A method that the program has replaced is the program's.
        next unless owner.instance_method(name).source_location&.first == __FILE__
        owner.send(own ? :define_method : :remove_method, *(own ? [name, original] : [name]))
        owner.send(:private, name) if own && hidden
      end
    end
    srand.bind_call(Random) unless explicit
  end

  replace = lambda do |owner, name|
    next unless owner.method_defined?(name) || owner.private_method_defined?(name)
    hidden = owner.private_method_defined?(name)
    original = owner.instance_method(name)
    seeds = name == :srand
    replaced << [owner, name, original, hidden, original.owner == owner]
    owner.send(:define_method, name) do |*arguments, **options, &block|
      look.call
      explicit = !arguments.empty? if seeds
      original.bind_call(self, *arguments, **options, &block)
    end
    owner.send(:private, name) if hidden
  end

  quietly.call do
    [Kernel, Kernel.singleton_class].each { |owner| %i[rand srand].each { |name| replace.call(owner, name) } }
    %i[rand srand bytes seed random_number].each { |name| replace.call(Random.singleton_class, name) }
    %i[shuffle shuffle! sample].each { |name| replace.call(Array, name) }
  end
end.call

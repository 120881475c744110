# -*- encoding: utf-8 -*-
# stub: net-http-fixture 1.2.0.rc1 ruby lib

Gem::Specification.new do |s|
  s.name = "net-http-fixture".freeze
  s.version = "1.2.0.rc1".freeze

  s.required_rubygems_version = Gem::Requirement.new(">= 0".freeze) if s.respond_to? :required_rubygems_version=
  s.require_paths = ["lib".freeze]
  s.authors = ["Dockgate".freeze]
  s.date = "1980-01-02"
  s.homepage = "https://example.org".freeze
  s.licenses = ["Apache-2.0".freeze]
  s.rubygems_version = "3.6.7".freeze
  s.summary = "A fixture of Dockgate's tests".freeze

  s.installed_by_version = "3.6.7".freeze
end

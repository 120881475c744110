"""Maven groups of well-known libraries whose jars do not state them.

Gradle, Ant and sbt omit the coordinates that Maven writes into a jar. This table has libraries from such builds that
are frequent in images and whose artifact names are unambiguous. Libraries that moved to another group (dom4j, groovy,
ehcache, lz4-java) are missing on purpose.
"""

from functools import cache

_LIBRARIES = """
cglib: cglib-nodep
com.datadoghq: dd-java-agent
com.google.code.findbugs: jsr305
com.google.crypto.tink: tink
com.h2database: h2
com.ibm.icu: icu4j
com.microsoft.sqlserver: mssql-jdbc
com.mysql: mysql-connector-j
com.newrelic.agent.java: newrelic-agent
com.oracle.database.jdbc: ojdbc6 ojdbc8 ojdbc10 ojdbc11 ojdbc17
com.squareup.okhttp3: okhttp okhttp-jvm logging-interceptor okhttp-tls
com.squareup.okio: okio okio-jvm
com.squareup.retrofit2: retrofit
commons-beanutils: commons-beanutils-core
io.grpc: grpc-alts grpc-api grpc-auth grpc-context grpc-core grpc-googleapis grpc-grpclb grpc-inprocess grpc-netty
io.grpc: grpc-netty-shaded grpc-okhttp grpc-protobuf grpc-protobuf-lite grpc-services grpc-stub grpc-util grpc-xds
io.micrometer: micrometer-commons micrometer-core micrometer-jakarta9 micrometer-observation micrometer-registry-*
io.opentelemetry: opentelemetry-api opentelemetry-context opentelemetry-exporter-* opentelemetry-sdk*
io.opentelemetry.javaagent: opentelemetry-javaagent
io.perfmark: perfmark-api
io.projectreactor: reactor-core
io.projectreactor.netty: reactor-netty-core reactor-netty-http
io.sentry: sentry
javax.servlet: jstl servlet-api
javax.jdo: jdo-api
javax.transaction: jta transaction-api
mysql: mysql-connector-java
net.java.dev.jna: jna jna-platform
net.sourceforge.f2j: arpack_combined_all
org.apache.ant: ant ant-launcher ant-junit
org.apache.cassandra: apache-cassandra=cassandra-all cassandra-all
org.apache.derby: derby derbyclient derbynet derbyoptionaltools derbyshared derbytools
org.apache.hadoop: hadoop-client-api hadoop-client-minicluster hadoop-client-runtime
org.apache.ivy: ivy
org.apache.kafka: connect-api connect-json connect-runtime connect-transforms
org.apache.kafka: kafka-clients kafka-metadata kafka-raft kafka-server kafka-server-common kafka-storage kafka-streams
org.apache.kafka: kafka_2.11 kafka_2.12 kafka_2.13
org.apache.lucene: lucene-*
org.apache.solr: solr-core solr-solrj
org.apache.thrift: libfb303 libthrift
org.apache.tomcat: tomcat-annotations-api tomcat-api tomcat-catalina tomcat-coyote tomcat-dbcp tomcat-el-api
org.apache.tomcat: tomcat-jasper tomcat-jdbc tomcat-jni tomcat-jsp-api tomcat-juli tomcat-servlet-api tomcat-util
org.apache.tomcat: tomcat-util-scan tomcat-websocket tomcat-websocket-api
org.apache.tomcat.embed: tomcat-embed-*
org.apache.zookeeper: zookeeper zookeeper-jute
org.aspectj: aspectjrt aspectjtools aspectjweaver
org.bouncycastle: bc-fips bcjmail-* bcmail-* bcpg-* bcpkix-* bcprov-* bctls-* bcutil-*
org.conscrypt: conscrypt-openjdk-uber
org.eclipse.lsp4j: org.eclipse.lsp4j.*
org.eclipse.xtend: org.eclipse.xtend.*
org.eclipse.xtext: org.eclipse.xtext.*
org.elasticsearch: elasticsearch elasticsearch-cli elasticsearch-core elasticsearch-x-content
org.freemarker: freemarker
org.hamcrest: hamcrest hamcrest-core hamcrest-library
org.hsqldb: hsqldb
org.jetbrains.kotlin: kotlin-reflect kotlin-stdlib kotlin-stdlib-common kotlin-stdlib-jdk7 kotlin-stdlib-jdk8
org.jetbrains.kotlinx: kotlinx-coroutines-* kotlinx-serialization-*
org.junit.jupiter: junit-jupiter*
org.junit.platform: junit-platform-*
org.mariadb.jdbc: mariadb-java-client
org.mockito: mockito-core
org.mozilla: rhino
org.objenesis: objenesis
org.opensearch: opensearch opensearch-core opensearch-x-content
org.ow2.asm: asm asm-analysis asm-commons asm-tree asm-util
org.postgresql: postgresql
org.python: jython jython-standalone
org.quartz-scheduler: quartz
org.reactivestreams: reactive-streams
org.roaringbitmap: RoaringBitmap
org.rocksdb: rocksdbjni
org.scala-lang: scala-compiler scala-library scala-reflect
org.springframework: spring-aop spring-aspects spring-beans spring-context spring-context-indexer
org.springframework: spring-context-support spring-core spring-expression spring-instrument spring-jcl spring-jdbc
org.springframework: spring-jms spring-messaging spring-orm spring-oxm spring-r2dbc spring-test spring-tx spring-web
org.springframework: spring-webflux spring-webmvc spring-webmvc-portlet spring-websocket
org.springframework.amqp: spring-amqp spring-rabbit
org.springframework.batch: spring-batch-*
org.springframework.boot: spring-boot spring-boot-*
org.springframework.graphql: spring-graphql
org.springframework.integration: spring-integration-*
org.springframework.kafka: spring-kafka spring-kafka-test
org.springframework.ldap: spring-ldap-core
org.springframework.security: spring-security-*
org.springframework.security.extensions: spring-security-saml2-core
org.springframework.security.kerberos: spring-security-kerberos-*
org.springframework.security.oauth: spring-security-oauth spring-security-oauth2
org.springframework.session: spring-session-*
org.springframework.ws: spring-ws-core spring-ws-security spring-ws-support spring-xml
org.testng: testng
org.tukaani: xz
stax: stax-api
xerces: xercesImpl
xml-apis: xml-apis-ext
"""
# Artifacts whose group has the same name.
_SAME_NAMES = """
antlr cglib commons-beanutils commons-codec commons-collections commons-configuration commons-dbcp commons-digester
commons-fileupload commons-httpclient commons-io commons-lang commons-logging commons-net commons-pool
commons-validator junit log4j org.eclipse.lsp4j org.eclipse.xtext oro xalan xml-apis"""


def find_library(name: str) -> tuple[str, str] | None:
    """Return group and artifact of the library with this jar name; None for an unknown one.

    The name is without a version.
    """
    exact, prefixes = _load_tables()
    if name in exact:
        return exact[name]
    return next(((group, name) for start, group in prefixes if name.startswith(start)), None)


def find_tomcat_library(name: str) -> tuple[str, str]:
    """Return group and artifact of a jar of Tomcat, which renames jars.

    The jar "bootstrap" is Tomcat itself.
    """
    if name == "bootstrap":
        return "org.apache.tomcat", "tomcat"
    if name in ("catalina-ssi", "catalina-storeconfig", "catalina-tribes"):
        name = name.removeprefix("catalina-")
    return "org.apache.tomcat", name if name.startswith("tomcat") else f"tomcat-{name}"


@cache
def _load_tables() -> tuple[dict[str, tuple[str, str]], tuple[tuple[str, str], ...]]:
    """Return exact names, and prefixes of names with their groups, longest first."""
    exact = {name: (name, name) for name in _SAME_NAMES.split()}
    prefixes: list[tuple[str, str]] = []
    for line in _LIBRARIES.strip().splitlines():
        group, _, names = line.partition(": ")
        for entry in names.split():
            if entry.endswith("*"):
                prefixes.append((entry[:-1], group))
            else:
                name, _, artifact = entry.partition("=")
                exact[name] = group, artifact or name
    return exact, tuple(sorted(prefixes, key=lambda start: -len(start[0])))

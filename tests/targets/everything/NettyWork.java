// SPDX-License-Identifier: Apache-2.0

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpContentCompressor;
import io.netty.handler.codec.http.HttpContentDecompressor;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;

/** Runs a Netty HTTP server on the loopback interface, and Netty clients that check its answers. */
final class NettyWork {
  private static final int CLIENTS = 4;
  private static final int REQUESTS = 150;

  private NettyWork() {}

  static String run() throws Exception {
    EventLoopGroup threads = new NioEventLoopGroup(3);
    try {
      Channel server = serve(threads);
      int port = ((InetSocketAddress) server.localAddress()).getPort();
      List<CompletableFuture<Long>> answers = new ArrayList<>();
      for (int i = 0; i < CLIENTS; i++) {
        answers.add(new Client(i).start(threads, port));
      }
      long sum = 0;
      for (CompletableFuture<Long> answer : answers) {
        sum = sum * 31 + answer.get(120, TimeUnit.SECONDS);
      }
      server.close().sync();
      return CLIENTS * REQUESTS + " answers, " + sum;
    } finally {
      threads.shutdownGracefully(0, 10, TimeUnit.SECONDS).sync();
    }
  }

  private static Channel serve(EventLoopGroup threads) throws InterruptedException {
    return new ServerBootstrap()
        .group(threads)
        .channel(NioServerSocketChannel.class)
        .childHandler(
            new ChannelInitializer<SocketChannel>() {
              @Override
              protected void initChannel(SocketChannel channel) {
                channel
                    .pipeline()
                    .addLast(
                        new HttpServerCodec(),
                        new HttpContentCompressor(),
                        new HttpObjectAggregator(1 << 20),
                        new Server());
              }
            })
        .bind(InetAddress.getLoopbackAddress(), 0)
        .sync()
        .channel();
  }

  /** Repeats the received text the requested number of times. */
  private static final class Server extends SimpleChannelInboundHandler<FullHttpRequest> {
    @Override
    protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
      QueryStringDecoder query = new QueryStringDecoder(request.uri());
      int times = Integer.parseInt(query.parameters().get("times").get(0));
      String text = request.content().toString(StandardCharsets.UTF_8).repeat(times);
      ByteBuf content = Unpooled.copiedBuffer(text, StandardCharsets.UTF_8);
      FullHttpResponse response =
          new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK, content);
      response.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, content.readableBytes());
      context.writeAndFlush(response).addListener(ChannelFutureListener.FIRE_EXCEPTION_ON_FAILURE);
    }
  }

  /** Sends one request after another and checks each answer. */
  private static final class Client extends SimpleChannelInboundHandler<FullHttpResponse> {
    private final int number;
    private final CompletableFuture<Long> result = new CompletableFuture<>();
    private final CRC32 sum = new CRC32();
    private int asked;

    Client(int number) {
      this.number = number;
    }

    CompletableFuture<Long> start(EventLoopGroup threads, int port) {
      new Bootstrap()
          .group(threads)
          .channel(NioSocketChannel.class)
          .handler(
              new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel channel) {
                  channel
                      .pipeline()
                      .addLast(
                          new HttpClientCodec(),
                          new HttpContentDecompressor(),
                          new HttpObjectAggregator(1 << 20),
                          Client.this);
                }
              })
          .connect(InetAddress.getLoopbackAddress(), port);
      return result;
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
      ask(context);
    }

    private String text() {
      return "Rīga " + number + "/" + asked + " ";
    }

    private int times() {
      return 1 + asked * 7 % 40;
    }

    private void ask(ChannelHandlerContext context) {
      ByteBuf content = Unpooled.copiedBuffer(text(), StandardCharsets.UTF_8);
      FullHttpRequest request =
          new DefaultFullHttpRequest(
              HttpVersion.HTTP_1_1, HttpMethod.POST, "/echo?times=" + times(), content);
      request.headers().set(HttpHeaderNames.HOST, "localhost");
      request.headers().set(HttpHeaderNames.ACCEPT_ENCODING, asked % 2 == 0 ? "gzip" : "identity");
      request.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, content.readableBytes());
      context.writeAndFlush(request);
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, FullHttpResponse response) {
      String got = response.content().toString(StandardCharsets.UTF_8);
      if (!got.equals(text().repeat(times()))) {
        throw new IllegalStateException("wrong answer to " + text() + ": " + got);
      }
      sum.update(got.getBytes(StandardCharsets.UTF_8));
      if (++asked < REQUESTS) {
        ask(context);
      } else {
        context.close();
        result.complete(sum.getValue());
      }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable problem) {
      result.completeExceptionally(problem);
      context.close();
    }
  }
}
